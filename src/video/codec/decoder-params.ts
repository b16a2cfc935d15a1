// The parameters of a decoder's two queues: V4L2's formats told in virtio-video's words, and set from them.
import { SysError } from "../../../ffi/errno.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { getFormat, type M2mFormat, setFormat, visible } from "../../v4l2/format.ts";
import { MAX_BUFFERS } from "../../v4l2/m2m-queue.ts";
import { colourPlanes } from "../colour-planes.ts";
import { type VideoFormat, videoFormat, videoFormatOf } from "../formats.ts";
import type { Plane } from "../resource.ts";
import { INPUT, type QueueType } from "../structs.ts";
import type { ParamsWish, QueueParams } from "./codec.ts";
import type { DecoderDevice } from "./decoder-device.ts";
import { readV4l2 } from "./m2m-controls.ts";

const DEFAULT_WIDTH = 1280;
const DEFAULT_HEIGHT = 720;
const MAX_BITSTREAM = 64 * 1024 * 1024;
/** What decoders need that do not say how many; with the guess of a few reference pictures. */
const GUESSED_PICTURES = 4;

export class DecoderParams {
  readonly #device: VideoDevice;
  readonly #decoder: DecoderDevice;
  bitstream: M2mFormat;
  pictures: M2mFormat;
  /** Where each colour plane is in a picture. */
  colour: readonly Plane[] = [];
  /** Bytes of a whole picture. */
  pictureBytes = 0;
  /** Picture buffers the decoder needs for itself. */
  minPictures = GUESSED_PICTURES;
  /** The raw format the driver asked for, which the decoder forgets at each change. */
  #wished: VideoFormat | undefined;
  #input: QueueParams;
  #output: QueueParams;

  /** Throws SysError when the device refuses its own formats. */
  constructor(device: VideoDevice, decoder: DecoderDevice, format: number) {
    this.#device = device;
    this.#decoder = decoder;
    const fourcc = videoFormat(format)?.fourcc ?? 0;
    const size = { width: DEFAULT_WIDTH, height: DEFAULT_HEIGHT, sizeimage: 0 };
    const set = setFormat(device, decoder.api.bitstream, { fourcc, ...size });
    if (typeof set === "number") throw new SysError("VIDIOC_S_FMT", device.path, -set);
    this.bitstream = set;
    this.pictures = set;
    this.#input = this.#tellInput();
    this.#output = this.#tellOutput();
    this.refresh();
  }

  /** What GET_PARAMS tells. */
  tell(queue: QueueType): QueueParams {
    return queue === INPUT ? this.#input : this.#output;
  }

  /** Reads the picture format again after the decoder has changed it. Throws SysError. */
  refresh(): void {
    const { api, capabilities } = this.#decoder;
    const wanted = this.#wished ?? videoFormat(capabilities.output[0]?.format ?? 0);
    let format = getFormat(this.#device, api.pictures);
    if (format === undefined) {
      // Some decoders have no picture format before they have seen a header.
      const { width, height } = this.bitstream;
      const guess = { fourcc: wanted?.fourcc ?? 0, width, height, sizeimage: 0 };
      const set = setFormat(this.#device, api.pictures, guess);
      if (typeof set === "number") throw new SysError("VIDIOC_G_FMT", this.#device.path, -set);
      format = set;
    }
    const now = videoFormatOf(format.fourcc);
    if (wanted !== undefined && now !== wanted) {
      // The decoder names its favourite at each change; ask again for the one that was agreed, whole before split.
      for (const fourcc of [wanted.fourcc, ...wanted.split]) {
        const set = setFormat(this.#device, api.pictures, { ...format, fourcc, sizeimage: 0 });
        if (typeof set === "number" || set.fourcc !== fourcc) continue;
        format = set;
        break;
      }
    }
    this.pictures = format;
    const row = videoFormatOf(format.fourcc);
    const stride = format.planes[0]?.bytesperline || format.width;
    this.colour = row === undefined ? [] : colourPlanes(row, stride, format.height);
    this.pictureBytes = format.planes.reduce((sum, { sizeimage }) => sum + sizeimage, 0);
    this.minPictures =
      readV4l2(this.#device, v.V4L2_CID_MIN_BUFFERS_FOR_CAPTURE) ?? GUESSED_PICTURES;
    this.#input = this.#tellInput();
    this.#output = this.#tellOutput();
  }

  /** Whether pictures of `before` need the same buffers as those of now. */
  sameAs(before: QueueParams): boolean {
    return Bun.deepEquals(this.#output, before);
  }

  /** S_FMT of the coded format; the queue must have no buffers. Keeps what there was where the device refuses. */
  setBitstream(wish: ParamsWish): void {
    const fourcc = videoFormat(wish.format)?.fourcc ?? this.bitstream.fourcc;
    const { width, height } = this.bitstream;
    const set = setFormat(this.#device, this.#decoder.api.bitstream, {
      fourcc,
      width: wish.width || width,
      height: wish.height || height,
      sizeimage: Math.min(wish.planeSize, MAX_BITSTREAM),
    });
    if (typeof set !== "number") this.bitstream = set;
    this.refresh();
  }

  /** S_FMT of the raw format; the queue must have no buffers. */
  setPictures(wish: ParamsWish): void {
    const format = videoFormat(wish.format);
    if (format !== undefined && !format.coded) this.#wished = format;
    const fourcc = this.#wished?.fourcc ?? this.pictures.fourcc;
    const { width, height } = this.pictures;
    setFormat(this.#device, this.#decoder.api.pictures, {
      fourcc,
      width: wish.width || width,
      height: wish.height || height,
      sizeimage: 0,
    });
    this.refresh();
  }

  /** Whether SET_PARAMS asks for what there is. */
  asksForSame(queue: QueueType, wish: ParamsWish): boolean {
    const now = this.tell(queue);
    const same = (asked: number, is: number) => asked === 0 || asked === is;
    return (
      same(wish.format, now.format) && same(wish.width, now.width) && same(wish.height, now.height)
    );
  }

  #tellInput(): QueueParams {
    const { fourcc, width, height, planes } = this.bitstream;
    return {
      format: videoFormatOf(fourcc)?.number ?? 0,
      width,
      height,
      minBuffers: Math.max(1, readV4l2(this.#device, v.V4L2_CID_MIN_BUFFERS_FOR_OUTPUT) ?? 1),
      maxBuffers: MAX_BUFFERS,
      crop: { left: 0, top: 0, width, height },
      planeSize: planes[0]?.sizeimage ?? 0,
      stride: 0,
    };
  }

  #tellOutput(): QueueParams {
    const { fourcc, width, height, planes } = this.pictures;
    return {
      format: videoFormatOf(fourcc)?.number ?? 0,
      width,
      height,
      // One more than the decoder needs: the one that carries EOS.
      minBuffers: Math.min(MAX_BUFFERS, Math.max(1, this.minPictures) + 1),
      maxBuffers: MAX_BUFFERS,
      crop: visible(this.#device, this.#decoder.api, this.pictures),
      planeSize: this.pictureBytes,
      stride: planes[0]?.bytesperline ?? 0,
    };
  }
}

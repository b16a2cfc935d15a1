// The parameters of a decoder's two queues: V4L2 formats in terms of virtio-video, read and set.
import { SysError } from "../../../ffi/errno.ts";
import * as v from "../../../ffi/linux/videodev2.ts";
import { getControl } from "../../v4l2/controls.ts";
import type { DecoderDevice } from "../../v4l2/decoder-device.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { getFormat, type QueueFormat, setFormat, visiblePart } from "../../v4l2/format.ts";
import { MAX_BUFFERS } from "../../v4l2/queue.ts";
import { colourPlanes } from "../colour-planes.ts";
import { type VideoFormat, videoFormat, videoFormatOf } from "../formats.ts";
import type { Plane } from "../resource.ts";
import { INPUT, type QueueType } from "../structs.ts";
import type { ParamsWish, QueueParams } from "./codec.ts";

const DEFAULT_WIDTH = 1280;
const DEFAULT_HEIGHT = 720;
const MAX_BITSTREAM = 64 * 1024 * 1024;
/** Picture buffers for a decoder that does not say how many it needs: a few reference pictures. */
const GUESSED_PICTURES = 4;

/** A format wish with one memory plane, of `sizeimage` bytes or (0) as the driver chooses. */
const wishFor = (fourcc: number, width: number, height: number, sizeimage = 0) => ({
  fourcc,
  width,
  height,
  planes: [{ sizeimage, bytesperline: 0 }],
});

export class DecoderParams {
  readonly #device: VideoDevice;
  readonly #decoder: DecoderDevice;
  bitstream: QueueFormat;
  pictures: QueueFormat;
  /** The place of each colour plane in a picture. */
  colour: readonly Plane[] = [];
  /** Bytes of a whole picture. */
  pictureBytes = 0;
  /** Picture buffers the decoder needs for itself. */
  minPictures = GUESSED_PICTURES;
  /** The raw format to ask for until the guest names one. */
  readonly #firstRaw: VideoFormat | undefined;
  /** The raw format that the guest asked for; to be set again after each change, because decoders do not keep it. */
  #wished: VideoFormat | undefined;
  #input: QueueParams;
  #output: QueueParams;

  /** Throws SysError when the device refuses its own formats. */
  constructor(
    device: VideoDevice,
    decoder: DecoderDevice,
    formats: { readonly coded: number; readonly raw: number },
  ) {
    this.#device = device;
    this.#decoder = decoder;
    this.#firstRaw = videoFormat(formats.raw);
    const fourcc = videoFormat(formats.coded)?.fourcc ?? 0;
    const wish = wishFor(fourcc, DEFAULT_WIDTH, DEFAULT_HEIGHT);
    const set = setFormat(device, decoder.bitstreamType, wish);
    if (typeof set === "number") throw new SysError("VIDIOC_S_FMT", device.path, -set);
    this.bitstream = set;
    this.pictures = set;
    this.#input = this.#inputParams();
    this.#output = this.#outputParams();
    this.refresh();
  }

  /** The answer to GET_PARAMS. */
  of(queue: QueueType): QueueParams {
    return queue === INPUT ? this.#input : this.#output;
  }

  /** Reads the picture format again after the decoder has changed it. Throws SysError. */
  refresh(): void {
    const { pictureType } = this.#decoder;
    const wanted = this.#wished ?? this.#firstRaw;
    let format = getFormat(this.#device, pictureType);
    if (format === undefined) {
      // Some decoders have no picture format before they have seen a header.
      const { width, height } = this.bitstream;
      const guess = wishFor(wanted?.fourcc ?? 0, width, height);
      const set = setFormat(this.#device, pictureType, guess);
      if (typeof set === "number") throw new SysError("VIDIOC_G_FMT", this.#device.path, -set);
      format = set;
    }
    const now = videoFormatOf(format.fourcc);
    if (wanted !== undefined && now !== wanted) {
      // A decoder may choose its default format at each change. Ask again for the agreed one, whole before split.
      for (const fourcc of [wanted.fourcc, ...wanted.split]) {
        const wish = wishFor(fourcc, format.width, format.height);
        const set = setFormat(this.#device, pictureType, wish);
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
      getControl(this.#device, v.V4L2_CID_MIN_BUFFERS_FOR_CAPTURE) ?? GUESSED_PICTURES;
    this.#input = this.#inputParams();
    this.#output = this.#outputParams();
  }

  /** S_FMT of the coded format; the queue must have no buffers. Keeps the present format where the device refuses. */
  setBitstream(wish: ParamsWish): void {
    const fourcc = videoFormat(wish.format)?.fourcc ?? this.bitstream.fourcc;
    const { width, height } = this.bitstream;
    const bytes = Math.min(wish.planeSize, MAX_BITSTREAM);
    const asked = wishFor(fourcc, wish.width || width, wish.height || height, bytes);
    const set = setFormat(this.#device, this.#decoder.bitstreamType, asked);
    if (typeof set !== "number") this.bitstream = set;
    this.refresh();
  }

  /** S_FMT of the raw format; the queue must have no buffers. */
  setPictures(wish: ParamsWish): void {
    const format = videoFormat(wish.format);
    if (format !== undefined && !format.coded) this.#wished = format;
    const { width, height } = this.pictures;
    const fourcc = this.#wished?.fourcc ?? this.pictures.fourcc;
    const asked = wishFor(fourcc, wish.width || width, wish.height || height);
    setFormat(this.#device, this.#decoder.pictureType, asked);
    this.refresh();
  }

  /** Whether SET_PARAMS asks for the present parameters. */
  asksForSame(queue: QueueType, wish: ParamsWish): boolean {
    const now = this.of(queue);
    const same = (asked: number, is: number) => asked === 0 || asked === is;
    return (
      same(wish.format, now.format) && same(wish.width, now.width) && same(wish.height, now.height)
    );
  }

  #inputParams(): QueueParams {
    const { fourcc, width, height, planes } = this.bitstream;
    return {
      format: videoFormatOf(fourcc)?.number ?? 0,
      width,
      height,
      minBuffers: Math.max(1, getControl(this.#device, v.V4L2_CID_MIN_BUFFERS_FOR_OUTPUT) ?? 1),
      maxBuffers: MAX_BUFFERS,
      crop: { left: 0, top: 0, width, height },
      planeSize: planes[0]?.sizeimage ?? 0,
      stride: 0,
    };
  }

  #outputParams(): QueueParams {
    const { fourcc, width, height, planes } = this.pictures;
    return {
      format: videoFormatOf(fourcc)?.number ?? 0,
      width,
      height,
      // One more than the decoder needs, for the buffer that carries EOS.
      minBuffers: Math.min(MAX_BUFFERS, Math.max(1, this.minPictures) + 1),
      maxBuffers: MAX_BUFFERS,
      crop: visiblePart(this.#device, this.#decoder.pictureType, this.pictures),
      planeSize: this.pictureBytes,
      stride: planes[0]?.bytesperline ?? 0,
    };
  }
}

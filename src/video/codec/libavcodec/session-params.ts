// The parameters of the two queues of a stream on libavcodec: what the guest asked for, until the bitstream says its size.
import { INPUT, type QueueType } from "../../structs.ts";
import type { FrameSizes, ParamsWish, QueueParams } from "../codec.ts";
import { type PictureLayout, pictureLayout } from "./picture-layout.ts";

const DEFAULT_WIDTH = 1280;
const DEFAULT_HEIGHT = 720;
/** No picture buffer is ever kept: one for a picture, and one for EOS. */
const MIN_PICTURES = 2;
const MIN_BITSTREAM = 1;
const MAX_BUFFERS = 32;
/** Bytes of a bitstream buffer: the least that a guest may choose, and the least that it is offered. */
const LEAST_PLANE = 4096;
const OFFERED_PLANE = 256 * 1024;

const clamp = (value: number, min: number, max: number) => Math.max(min, Math.min(max, value));

export interface SessionLimits {
  readonly sizes: FrameSizes;
  /** Most bytes of bitstream in a buffer. */
  readonly bitstreamBytes: number;
}

export class SessionParams {
  readonly #limits: SessionLimits;
  coded: number;
  raw: number;
  #width = DEFAULT_WIDTH;
  #height = DEFAULT_HEIGHT;
  /** Bytes of a bitstream buffer that the guest asked for; 0: it leaves that to us. */
  #planeSize = 0;
  /** The size is that of the bitstream; the guest cannot set it any more. */
  known = false;
  layout: PictureLayout;

  constructor(limits: SessionLimits, coded: number, raw: number) {
    this.#limits = limits;
    this.coded = coded;
    this.raw = raw;
    this.layout = pictureLayout(raw, this.#width, this.#height);
  }

  of(queue: QueueType): QueueParams {
    const width = this.layout.stride;
    const height = this.layout.rows;
    const crop = { left: 0, top: 0, width: this.#width, height: this.#height };
    const common = { width, height, crop, maxBuffers: MAX_BUFFERS };
    if (queue === INPUT) {
      return {
        ...common,
        format: this.coded,
        minBuffers: MIN_BITSTREAM,
        planeSize: this.#bitstreamSize(),
        stride: 0,
      };
    }
    return {
      ...common,
      format: this.raw,
      minBuffers: MIN_PICTURES,
      planeSize: this.layout.bytes,
      stride: width,
    };
  }

  #bitstreamSize(): number {
    const { bitstreamBytes } = this.#limits;
    if (this.#planeSize > 0) return clamp(this.#planeSize, LEAST_PLANE, bitstreamBytes);
    return Math.min(bitstreamBytes, Math.max(OFFERED_PLANE, this.layout.bytes));
  }

  /** Takes the parameters that the guest asks for, as far as they are possible. */
  wish(queue: QueueType, { width, height, planeSize }: ParamsWish): void {
    if (queue === INPUT) this.#planeSize = planeSize;
    const { sizes } = this.#limits;
    if (this.known) this.#layOut(this.#width, this.#height);
    else
      this.#layOut(
        clamp(width || this.#width, sizes.width.min, sizes.width.max),
        clamp(height || this.#height, sizes.height.min, sizes.height.max),
      );
  }

  isSize(width: number, height: number): boolean {
    return width === this.#width && height === this.#height;
  }

  /** The size that the bitstream has. */
  setSize(width: number, height: number): void {
    this.known = true;
    this.#layOut(width, height);
  }

  #layOut(width: number, height: number): void {
    this.#width = width;
    this.#height = height;
    this.layout = pictureLayout(this.raw, width, height);
  }
}

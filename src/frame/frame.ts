// A frame on loan: whoever holds it may read its memory until it is disposed, then the memory goes back to
// where it came from. One Frame per buffer, made at setup and lent again and again.
import type { Piece } from "../../ffi/gather.ts";
import type { Picture } from "../format/picture-layout.ts";

/** Where a frame's memory goes back to. */
export interface Lender {
  giveBack(frame: Frame): void;
}

export class Frame implements Disposable {
  /** Number of the buffer this is. */
  readonly index: number;
  /** The picture's memory in the order it is sent; one piece where it is contiguous. */
  readonly pieces: readonly Piece[];
  /** Length of the picture when it fills its buffer: the sum of the pieces. */
  readonly capacity: number;
  /** Bytes of picture in this frame: at most `capacity`. */
  bytesused = 0;
  /** `v4l2_buffer.flags`. */
  flags = 0;
  sequence = 0;
  /** CLOCK_MONOTONIC at the capture, seconds and microseconds. */
  tsSec = 0;
  tsUsec = 0;
  readonly #lender: Lender;
  #lent = false;

  constructor(index: number, pieces: readonly Piece[], lender: Lender) {
    this.index = index;
    this.pieces = pieces;
    this.capacity = pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#lender = lender;
  }

  get lent(): boolean {
    return this.#lent;
  }

  /** Marks the frame as handed out; the lender calls this and nobody else. */
  lend(): this {
    if (this.#lent) throw new Error(`buffer ${this.index} is lent already`);
    this.#lent = true;
    return this;
  }

  /** Gives the memory back. Twice is harmless. */
  [Symbol.dispose](): void {
    if (!this.#lent) return;
    this.#lent = false;
    this.#lender.giveBack(this);
  }
}

/** What the hello says about a stream, in both flows. */
export interface StreamInfo extends Picture {
  readonly bufferCount: number;
}

/** What a frame's message says about it, in both flows. */
export interface FrameFacts {
  readonly bytesused: number;
  readonly flags: number;
  readonly sequence: number;
  readonly ts_sec: number;
  readonly ts_usec: number;
}

/** When a frame was captured, in microseconds of CLOCK_MONOTONIC of this host; undefined when another clock stamped the frame. */
export type CaptureTime = (frame: FrameFacts) => number | undefined;

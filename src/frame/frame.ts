// A frame on loan: its holder may read the memory until it disposes the frame. Ownership then returns to the lender.
// There is one Frame per buffer, made at setup and lent many times.
import type { Piece } from "../../ffi/gather.ts";
import type { Picture } from "../format/picture-layout.ts";

/** The owner of the memory. */
export interface Lender {
  /** Called when a frame is disposed: the memory is free again. */
  giveBack(frame: Frame): void;
}

export class Frame implements Disposable {
  /** Number of the buffer. */
  readonly index: number;
  /** The picture's memory in the order it is sent; one piece if it is contiguous. */
  readonly pieces: readonly Piece[];
  /** Bytes of a picture that fills the buffer: the sum of the pieces. */
  readonly capacity: number;
  /** Bytes of the picture in this frame; at most `capacity`. */
  bytesused = 0;
  /** `v4l2_buffer.flags`. */
  flags = 0;
  sequence = 0;
  /** Time of capture, CLOCK_MONOTONIC, seconds and microseconds. */
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

  /** Marks the frame as lent. Only the lender calls this. */
  lend(): this {
    if (this.#lent) throw new Error(`buffer ${this.index} is lent already`);
    this.#lent = true;
    return this;
  }

  /** Returns the memory to the lender. May be called twice. */
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

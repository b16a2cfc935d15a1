// The buffers of the session that owns the queue, and the order in which they wait for pictures: vb2_core as a guest sees it.
import * as v from "../../ffi/linux/videodev2.ts";
import { CaptureBuffer } from "./capture-buffer.ts";
import { check, MediaError } from "./media-error.ts";
import type { SharedBuffers } from "./shared-buffers.ts";

/** VIDEO_MAX_FRAME. */
export const MAX_BUFFERS = 32;

export class CaptureQueue {
  /** The session that owns it. */
  readonly session: number;
  /** V4L2_MEMORY_MMAP or V4L2_MEMORY_USERPTR. */
  readonly memoryType: number;
  readonly buffers: CaptureBuffer[] = [];
  streaming = false;
  /** The number of the next picture. */
  sequence = 0;
  readonly #shared: SharedBuffers;
  readonly #waiting: CaptureBuffer[] = [];

  constructor(session: number, memoryType: number, shared: SharedBuffers) {
    this.session = session;
    this.memoryType = memoryType;
    this.#shared = shared;
  }

  /** Adds up to `count` buffers of `length` bytes, as many as the quota allows. Throws MediaError when not even one fits. */
  add(count: number, length: number): void {
    const wanted = Math.min(count, MAX_BUFFERS - this.buffers.length);
    const mapped = this.memoryType === v.V4L2_MEMORY_MMAP;
    const before = this.buffers.length;
    try {
      for (let added = 0; added < wanted; added++) {
        const shared = mapped ? this.#shared.create(length) : undefined;
        if (mapped && shared === undefined) break;
        this.buffers.push(new CaptureBuffer(this.session, this.buffers.length, length, shared));
      }
    } catch (error) {
      for (const buffer of this.buffers.splice(before)) buffer.free(); // the guest does not know of them
      throw error;
    }
    if (this.buffers.length === before)
      throw new MediaError("ENOMEM", "no room for another buffer: see --memory for the limit");
  }

  /** The buffer of that number. Throws MediaError. */
  buffer(index: number): CaptureBuffer {
    const buffer = this.buffers[index];
    if (buffer === undefined) throw new MediaError("EINVAL", `there is no buffer ${index}`);
    return buffer;
  }

  /** The buffer waits for a picture from now on. Throws MediaError when it does so already. */
  queue(buffer: CaptureBuffer): void {
    check(buffer.state === "free" || buffer.state === "prepared", "the buffer is queued already");
    buffer.state = "queued";
    buffer.damaged = false;
    buffer.clear();
    this.#waiting.push(buffer);
  }

  /** The buffer that waits longest; undefined when none does. */
  get next(): CaptureBuffer | undefined {
    return this.#waiting[0];
  }

  /** The first waiting buffer has its picture. */
  finish(): void {
    const buffer = this.#waiting.shift();
    if (buffer === undefined) return;
    buffer.state = "done";
    buffer.sequence = this.sequence;
    this.sequence = (this.sequence + 1) >>> 0;
  }

  /** A picture found no buffer: its number is left out. */
  skip(): void {
    this.sequence = (this.sequence + 1) >>> 0;
  }

  /** Returns all buffers to the program. */
  stop(): void {
    this.streaming = false;
    this.sequence = 0;
    this.#waiting.length = 0;
    for (const buffer of this.buffers) {
      buffer.state = "free";
      buffer.clear();
    }
  }

  free(): void {
    this.stop();
    for (const buffer of this.buffers) buffer.free();
    this.buffers.length = 0;
  }
}

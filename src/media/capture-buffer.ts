// One buffer of a session: its memory, its state, and what is in it.
import { copyMemory } from "../../ffi/copy.ts";
import type { Piece } from "../../ffi/gather.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";
import type { SharedBuffer } from "./shared-buffers.ts";
import type { UserMemory } from "./user-memory.ts";

/**
 * "free": the program has it. "prepared": PREPARE_BUF has checked its memory. "queued": it waits for a picture. "done": it has
 * one, and the event waits for room in the event queue.
 */
export type BufferState = "free" | "prepared" | "queued" | "done";

export class CaptureBuffer {
  readonly index: number;
  readonly session: number;
  /** Memory of the device; undefined for USERPTR. */
  readonly shared: SharedBuffer | undefined;
  /** Memory of the guest, since the buffer was queued with it. */
  user: UserMemory | undefined;
  state: BufferState = "free";
  bytesused = 0;
  sequence = 0;
  tsSec = 0;
  tsUsec = 0;
  /** V4L2_BUF_FLAG_ERROR: there is no picture in it. */
  damaged = false;
  readonly #length: number;

  constructor(session: number, index: number, length: number, shared: SharedBuffer | undefined) {
    this.session = session;
    this.index = index;
    this.#length = length;
    this.shared = shared;
  }

  /** Of USERPTR: that of the memory; before there is any, the bytes that it needs, as vb2 says it. */
  get length(): number {
    return this.user?.length ?? this.#length;
  }

  get memoryType(): number {
    return this.shared === undefined ? v.V4L2_MEMORY_USERPTR : v.V4L2_MEMORY_MMAP;
  }

  /** V4L2_BUF_FLAG_* as the guest's driver expects them: it adds DONE itself. */
  get flags(): number {
    let flags = v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    if ((this.shared?.users ?? 0) > 0) flags |= v.V4L2_BUF_FLAG_MAPPED;
    if (this.state === "queued") flags |= v.V4L2_BUF_FLAG_QUEUED;
    if (this.state === "prepared") flags |= v.V4L2_BUF_FLAG_PREPARED;
    if (this.damaged) flags |= v.V4L2_BUF_FLAG_ERROR;
    return flags;
  }

  /** Writes the fields that are the same in answers and events. */
  describe(q: Struct<typeof v.v4l2Buffer.fields>): void {
    q.index = this.index;
    q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
    q.flags = this.flags;
    q.field = v.V4L2_FIELD_NONE;
    q.memory = this.memoryType;
    q.length = this.length;
    q.request_fd = 0;
  }

  /** Copies a picture of `bytes` bytes into the buffer. False when it has no room for them, or its memory is gone. */
  fill(pieces: readonly Piece[], bytes: number, memory: GuestMemory): boolean {
    if (bytes > this.length) return false;
    const { shared, user } = this;
    if (shared === undefined && user?.present(memory) !== true) return false;
    let done = 0;
    for (let i = 0; i < pieces.length && done < bytes; i++) {
      const { address, length } = pieces[i] as Piece;
      const n = Math.min(length, bytes - done);
      if (shared !== undefined) copyMemory(shared.memory.address + done, address, n);
      else user?.write(done, address, n);
      done += n;
    }
    this.bytesused = done;
    return done === bytes;
  }

  /** Forgets the last picture. v4l2-compliance wants no number and no time stamp of a buffer that has none. */
  clear(): void {
    this.bytesused = 0;
    this.sequence = 0;
    this.tsSec = 0;
    this.tsUsec = 0;
  }

  /** Frees its memory. */
  free(): void {
    this.shared?.free();
    this.user?.drop();
    this.user = undefined;
  }
}

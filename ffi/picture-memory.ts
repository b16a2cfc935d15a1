// Memory of ours that a decoder of libavcodec puts its pictures in: get_buffer2 of avcodec.h, and reference-counted buffers of
// libavutil/buffer.h. For one thread: with more, the library calls back on threads of its own.
import { FFIType, JSCallback } from "bun:ffi";
import { avFrame } from "./av-frame.ts";
import { copyMemory } from "./copy.ts";
import { type AvLibrary, allocated, freeBy } from "./libavcodec.ts";
import { addressOf, cString, viewOf } from "./libc.ts";
import { CallError, type Functions, openLibrary, symbolAt } from "./library.ts";
import { i32, n64, struct } from "./struct.ts";

const int = FFIType.i32;
const at = FFIType.u64_fast;
const address = FFIType.i64_fast;
const none = FFIType.void;
const signatures = {
  avcodec_default_get_buffer2: { args: [at, at, int], returns: int },
  avcodec_align_dimensions2: { args: [at, at, at, at], returns: none },
  // Of libavutil, which libavcodec loads.
  av_frame_alloc: { args: [], returns: address },
  av_frame_free: { args: [at], returns: none },
  av_frame_get_buffer: { args: [at, int], returns: int },
  av_frame_get_plane_buffer: { args: [at, int], returns: address },
  av_buffer_create: { args: [at, at, at, at, int], returns: address },
  av_buffer_alloc: { args: [at], returns: address },
  av_buffer_ref: { args: [at], returns: address },
  av_buffer_unref: { args: [at], returns: none },
  av_buffer_get_ref_count: { args: [at], returns: int },
  av_get_pix_fmt: { args: [at], returns: int },
} as const;
type BufferFunctions = Functions<typeof signatures>;

/** The formats that are put there, by FFmpeg's names: 4:2:0 of 8 bit in three planes. */
const FORMATS = ["yuv420p", "yuvj420p"];
/** AVERROR(ENOMEM) */
const NO_MEMORY = -12;
/** The decoder may read and write so many bytes after a plane: 16 + STRIDE_ALIGN - 1 in the library's own get_buffer2. */
const AFTER_PLANE = 128;
const align = (value: number, to: number) => Math.ceil(value / to) * to;

/** Bytes of AVFrame that get_buffer2 writes: `data` and `linesize`. `buf` follows, elsewhere in each version. */
const WRITTEN = 96;
/** Where `buf` can be in AVFrame, and `get_buffer2` in AVCodecContext. No version has shorter structs. */
const FRAME_RANGE = [144, 320] as const;
const CONTEXT_RANGE = [64, 800] as const;
const bufferRef = struct("AVBufferRef", 24, { buffer: n64(0), data: n64(8), size: n64(16) });
const pointer = struct("void *", 8, { value: n64(0) });
const dimensions = struct("int[10]", 40, {
  width: i32(0),
  height: i32(4),
  "linesize_align[0]": i32(8),
  "linesize_align[1]": i32(12),
});

/** Where pictures may be put. */
export interface PictureSpace {
  readonly address: number;
  readonly slots: number;
  /** Bytes of each slot, which begins at a multiple of 64. */
  readonly slotBytes: number;
}

export class PictureMemory implements Disposable {
  readonly #av: BufferFunctions;
  readonly #space: PictureSpace;
  /** Slots in use beside the decoder: it must not write there. */
  readonly #kept: boolean[];
  /** An AVBufferRef of ours for each slot: a slot is free when it is the only one. */
  readonly #refs: number[] = [];
  readonly #formats: readonly number[];
  readonly #callback: JSCallback;
  readonly #bufAt: number;
  readonly #function = pointer.alloc();
  readonly #functionAt = this.#function.$address;
  readonly #default: number;
  readonly #frame = avFrame.alloc();
  readonly #frameAt = this.#frame.$address;
  readonly #ref = bufferRef.alloc();
  readonly #refAt = this.#ref.$address;
  readonly #buf = pointer.alloc();
  readonly #bufCellAt = this.#buf.$address;
  readonly #size = dimensions.alloc();
  readonly #sizeAt = this.#size.$address;
  /** The layout for the frame size that was asked for last; `bytes` 0: such frames are not put here. */
  readonly #layout = { width: 0, height: 0, stride: 0, second: 0, third: 0, bytes: 0 };

  /** Throws CallError or LibraryError when the library is not as expected. */
  constructor({ soname }: AvLibrary, space: PictureSpace) {
    const av = openLibrary(soname, signatures);
    this.#av = av;
    this.#space = space;
    this.#kept = new Array<boolean>(space.slots).fill(false);
    this.#formats = FORMATS.map((name) => numberOf(av, name));
    this.#bufAt = offsetOfBuf(av, this.#formats[0] ?? 0);
    this.#default = symbolAt(soname, "avcodec_default_get_buffer2");
    const free = symbolAt(soname, "av_free"); // of its first argument, which is 0 here
    for (let slot = 0; slot < space.slots; slot++) {
      const at = space.address + slot * space.slotBytes;
      const ref = av.av_buffer_create(at, space.slotBytes, free, 0, 0);
      this.#refs.push(allocated(ref, "av_buffer_create"));
    }
    this.#callback = new JSCallback(
      (context: number, frameAt: number, flags: number) => this.#getBuffer(context, frameAt, flags),
      { args: [FFIType.ptr, FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
    );
    this.#function.value = Number(this.#callback.ptr);
  }

  /** Lets a decoder put its pictures here: an AVCodecContext that has not been opened. Does nothing to one that is not as expected. */
  use(context: number): void {
    this.#layout.width = 0; // another codec may need another layout for the same size
    const at = offsetOf(context, CONTEXT_RANGE, this.#default);
    if (at > 0) copyMemory(context + at, this.#functionAt, pointer.size);
  }

  /** The slot that an address is in; -1 when it is in none. */
  slotOf(address: number): number {
    const { address: from, slots, slotBytes } = this.#space;
    const slot = Math.floor((address - from) / slotBytes);
    return slot >= 0 && slot < slots ? slot : -1;
  }

  slotAt(slot: number): number {
    return this.#space.address + slot * this.#space.slotBytes;
  }

  /** Whether `keep` was called for the slot. */
  isKept(slot: number): boolean {
    return this.#kept[slot] === true;
  }

  /** The decoder must not write to the slot before `release`. */
  keep(slot: number): void {
    this.#kept[slot] = true;
  }

  release(slot: number): void {
    this.#kept[slot] = false;
  }

  /** get_buffer2: memory for a picture. It must not throw into the library. */
  #getBuffer(context: number, frameAt: number, flags: number): number {
    try {
      copyMemory(this.#frameAt, frameAt, avFrame.size);
      const { width, height, format } = this.#frame;
      if (this.#formats.includes(format) && this.#fits(context, width, height))
        return this.#give(frameAt);
      return this.#av.avcodec_default_get_buffer2(context, frameAt, flags);
    } catch {
      return NO_MEMORY;
    }
  }

  /** Whether frames of that size are put here. All of a size have the same layout: decoders demand that of references. */
  #fits(context: number, width: number, height: number): boolean {
    const layout = this.#layout;
    if (layout.width === width && layout.height === height) return layout.bytes > 0;
    const size = this.#size;
    size.width = width;
    size.height = height;
    const at = this.#sizeAt;
    this.#av.avcodec_align_dimensions2(context, at, at + 4, at + 8);
    const stride = size.width;
    const rows = align(size.height, 2);
    layout.width = width;
    layout.height = height;
    layout.stride = stride;
    layout.second = align(stride * rows + AFTER_PLANE, 64);
    layout.third = layout.second + align((stride * rows) / 4 + AFTER_PLANE, 64);
    const bytes = 2 * layout.third - layout.second;
    const aligned =
      stride % size["linesize_align[0]"] === 0 && stride % (2 * size["linesize_align[1]"]) === 0;
    layout.bytes = aligned && bytes <= this.#space.slotBytes ? bytes : 0;
    return layout.bytes > 0;
  }

  /** A free slot for the frame, or memory of the library's in the same layout when there is none. */
  #give(frameAt: number): number {
    const slot = this.#freeSlot();
    const ref =
      slot < 0
        ? this.#av.av_buffer_alloc(this.#layout.bytes)
        : this.#av.av_buffer_ref(this.#refs[slot] ?? 0);
    if (ref === 0) return NO_MEMORY;
    copyMemory(this.#refAt, ref, bufferRef.size);
    const { data } = this.#ref;
    const { stride, second, third } = this.#layout;
    const frame = this.#frame;
    frame["data[0]"] = data;
    frame["data[1]"] = data + second;
    frame["data[2]"] = data + third;
    frame["linesize[0]"] = stride;
    frame["linesize[1]"] = stride / 2;
    frame["linesize[2]"] = stride / 2;
    this.#buf.value = ref;
    copyMemory(frameAt, this.#frameAt, WRITTEN);
    copyMemory(frameAt + this.#bufAt, this.#bufCellAt, pointer.size);
    return 0;
  }

  #freeSlot(): number {
    for (let slot = 0; slot < this.#refs.length; slot++) {
      if (this.#kept[slot] === true) continue;
      if (this.#av.av_buffer_get_ref_count(this.#refs[slot] ?? 0) === 1) return slot;
    }
    return -1;
  }

  /** Allowed when no decoder uses it any more. */
  [Symbol.dispose](): void {
    for (const ref of this.#refs.splice(0)) freeBy(this.#av.av_buffer_unref, ref);
    this.#callback.close();
  }
}

/** The number of a pixel format. Throws CallError. */
function numberOf(av: BufferFunctions, name: string): number {
  const text = cString(name);
  const number = av.av_get_pix_fmt(addressOf(text));
  if (number < 0) throw new CallError("av_get_pix_fmt", name, "no such format");
  return number;
}

/** Where `buf` is in AVFrame: found with a frame, because it is elsewhere in each version. Throws CallError. */
function offsetOfBuf(av: BufferFunctions, format: number): number {
  using undo = new DisposableStack();
  const at = allocated(av.av_frame_alloc(), "av_frame_alloc");
  undo.defer(() => freeBy(av.av_frame_free, at));
  const members = avFrame.over(viewOf(at, avFrame.size));
  members.width = 64;
  members.height = 64;
  members.format = format;
  const r = av.av_frame_get_buffer(at, 0);
  if (r < 0) throw new CallError("av_frame_get_buffer", "", `error ${r}`);
  const offset = offsetOf(at, FRAME_RANGE, av.av_frame_get_plane_buffer(at, 0));
  if (offset < 0) throw new CallError("libavcodec", "AVFrame.buf", "not found");
  return offset;
}

/** Where the one pointer with that value is in a struct; -1 when there is none, or more. */
function offsetOf(at: number, [from, to]: readonly [number, number], value: number): number {
  const copy = new Uint8Array(new ArrayBuffer(to));
  copyMemory(addressOf(copy), at, to);
  const found: number[] = [];
  for (let offset = from; offset + pointer.size <= to; offset += pointer.size)
    if (pointer.over(copy, offset).value === value) found.push(offset);
  return found.length === 1 ? (found[0] ?? -1) : -1;
}

// One stream in the window. Of its three textures one is on the screen, one waits to be shown, one is being received into.
// The newest complete frame is shown at the end of a loop turn; frames it replaces unseen are counted.

import { CallError } from "../../ffi/library.ts";
import type { Memory } from "../../ffi/mapping.ts";
import { SdlTexture } from "../../ffi/sdl2-texture.ts";
import type { SdlWindow } from "../../ffi/sdl2-window.ts";
import { type Figure, statesOf, streamFigures } from "../cli/figures.ts";
import type { Histogram } from "../cli/histogram.ts";
import { log } from "../cli/log.ts";
import { addLatency } from "../cli/stats.ts";
import { fourccName } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { CaptureTime, FrameFacts } from "../frame/frame.ts";
import { type FrameBuffer, memfdAllocator } from "../frame/memory.ts";
import type { Deferred, Loop } from "../loop.ts";
import type { Loader } from "./loader.ts";

interface Slot {
  texture: SdlTexture;
  /** Whether the texture cannot be used any more: a new one is made before the next frame. */
  stale: boolean;
  /** Memory for a frame whose layout differs from a locked texture. */
  staging: FrameBuffer | undefined;
  /** Where the frame is now. */
  where: "texture" | "locked" | "staging";
  bytes: number;
  captureUs: number | undefined;
}

/** Counts of frames by what was done with them. */
export interface ShownCounts {
  /** Shown on the screen. */
  shown: number;
  /** Replaced by a newer frame before they were shown. */
  passed: number;
  /** Cut short, or could not be decoded. */
  damaged: number;
  /** Never arrived: gaps in the sequence. */
  lost: number;
}

/** The counts as figures of --metrics. */
export const shownFigures = (counts: Readonly<ShownCounts>): Figure[] =>
  statesOf(streamFigures.window, {
    shown: () => counts.shown,
    passed: () => counts.passed,
    not_showable: () => counts.damaged,
  });

export interface ShowingOptions {
  readonly window: SdlWindow;
  readonly picture: Picture;
  readonly loader: Loader;
  readonly smooth: boolean;
  readonly captureTime: CaptureTime;
  readonly counts: ShownCounts;
  /** Time from capture to present. */
  readonly latency: Histogram;
  /** Redraws the window, with `Showing.texture`. */
  readonly redraw: () => void;
  /** Called when the stream has ended. */
  readonly ended: () => void;
}

const SLOTS = 3;
export class Showing implements Disposable {
  readonly picture: Picture;
  readonly #options: ShowingOptions;
  readonly #slots: Slot[] = [];
  readonly #owned = new DisposableStack();
  readonly #present: Deferred;
  readonly #refreshMs: number;
  /** Bytes of the frames that can be received into a locked texture. */
  readonly #exact: number | undefined;
  #shown: Slot | undefined;
  #pending: Slot | undefined;
  #receiving: Slot | undefined;
  #pendingSinceMs = 0;
  #lastSequence = -1;
  /** Whether a warning has said why a picture is not shown. */
  #warned = false;

  /** Takes ownership of the loader. */
  constructor(loop: Loop, options: ShowingOptions) {
    this.#options = options;
    this.picture = options.picture;
    this.#owned.use(options.loader);
    this.#present = this.#owned.use(loop.deferred(() => this.presentPending()));
    this.#refreshMs = 1000 / options.window.refreshRate;
    try {
      // Makes the first texture now: a picture that is too large for the renderer is refused before its first frame.
      const { texture } = this.#free();
      texture.lock();
      const { exact } = options.loader;
      this.#exact = texture.pitch === exact?.rowBytes ? exact.bytes : undefined;
      texture.unlock();
    } catch (error) {
      this.#owned.dispose();
      throw error;
    }
  }

  /** The texture that is on the screen. */
  get texture(): SdlTexture | undefined {
    return this.#shown?.texture;
  }

  /**
   * Address to receive a frame at: a locked texture, or memory of our own when the texture has another layout. Throws
   * CallError or SysError.
   */
  begin({ bytesused: bytes }: FrameFacts): number {
    const slot = this.#free();
    this.#receiving = slot;
    slot.bytes = bytes;
    if (bytes === this.#exact) {
      slot.where = "locked";
      try {
        return slot.texture.lock();
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        this.#renew(slot);
        return slot.texture.lock();
      }
    }
    slot.where = "staging";
    const size = Math.max(bytes, this.picture.sizeimage);
    if ((slot.staging?.mapping.length ?? 0) < size) {
      slot.staging?.[Symbol.dispose]();
      slot.staging = memfdAllocator.allocate(size);
    }
    return slot.staging?.mapping.address ?? 0;
  }

  /** The frame received at that address is complete. The window never makes the next frame wait: always true. */
  complete(frame: FrameFacts): boolean {
    const slot = this.#receiving;
    if (slot === undefined) throw new Error("complete() without begin()");
    this.#receiving = undefined;
    this.#number(frame.sequence);
    slot.captureUs = this.#options.captureTime(frame);
    if (slot.stale) this.#options.counts.passed += 1;
    else if (this.#options.loader.accepts(slot.bytes)) this.#queue(slot);
    else this.#leaveOut(`it has ${slot.bytes} bytes, fewer than a picture`);
    return true;
  }

  /** Shows a frame that is in memory of the caller. The memory is not read after the call. Throws CallError. */
  show({ address }: Pick<Memory, "address">, frame: FrameFacts): void {
    const { loader, captureTime } = this.#options;
    const bytes = frame.bytesused;
    const slot = this.#free();
    this.#number(frame.sequence);
    if (!loader.accepts(bytes)) {
      this.#leaveOut(`it has ${bytes} bytes, fewer than a picture`);
      return;
    }
    if (!this.#load(slot, address, bytes)) return;
    slot.where = "texture";
    slot.captureUs = captureTime(frame);
    this.#queue(slot);
  }

  #number(sequence: number): void {
    const gap = sequence - this.#lastSequence - 1;
    if (this.#lastSequence >= 0 && gap > 0 && gap < 0x1_0000_0000) this.#options.counts.lost += gap;
    this.#lastSequence = sequence;
  }

  /** A slot that is neither shown nor waiting. */
  #free(): Slot {
    for (const slot of this.#slots) {
      if (slot === this.#shown || slot === this.#pending) continue;
      if (slot.stale) this.#renew(slot);
      return slot;
    }
    if (this.#slots.length === SLOTS) throw new Error("all textures are taken");
    const slot: Slot = {
      texture: this.#makeTexture(),
      stale: false,
      staging: undefined,
      where: "texture",
      bytes: 0,
      captureUs: undefined,
    };
    this.#owned.defer(() => {
      slot.texture[Symbol.dispose]();
      slot.staging?.[Symbol.dispose]();
    });
    this.#slots.push(slot);
    return slot;
  }

  #makeTexture(): SdlTexture {
    const { window, loader, picture, smooth } = this.#options;
    return new SdlTexture(window, loader.texture, picture).smooth(smooth);
  }

  /** Replaces a texture that is lost, or whose last call failed. Throws CallError. */
  #renew(slot: Slot): void {
    slot.texture[Symbol.dispose]();
    slot.texture = this.#makeTexture();
    slot.stale = false;
  }

  /** The renderer has lost its device, and with it all textures. Each is replaced before its next frame. */
  renewTextures(): void {
    if (this.#pending !== undefined) this.#options.counts.passed += 1;
    this.#shown = undefined;
    this.#pending = undefined;
    for (const slot of this.#slots) slot.stale = true;
  }

  /** Loads a picture into the slot's texture. Answers false if it cannot be shown. Throws CallError if a new texture fails, too. */
  #load(slot: Slot, address: number, bytes: number): boolean {
    const { loader } = this.#options;
    let wrong: string | undefined;
    try {
      wrong = loader.load(slot.texture, address, bytes);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      this.#renew(slot);
      wrong = loader.load(slot.texture, address, bytes);
    }
    if (wrong !== undefined) this.#leaveOut(wrong);
    return wrong === undefined;
  }

  #leaveOut(why: string): void {
    this.#options.counts.damaged += 1;
    if (this.#warned) return;
    this.#warned = true;
    const { width, height, pixelformat } = this.picture;
    const what = `${width}x${height} ${fourccName(pixelformat)}`;
    log.warn(
      `display: a picture of this ${what} stream cannot be shown: ${why}; later ones are left out without a warning`,
    );
  }

  #queue(slot: Slot): void {
    const nowMs = performance.now();
    if (this.#pending === undefined) this.#pendingSinceMs = nowMs;
    else this.#options.counts.passed += 1;
    this.#pending = slot;
    this.#present.ask();
    // While a sender fills the socket faster than it is emptied, the loop turn does not end: show from here.
    if (nowMs - this.#pendingSinceMs >= this.#refreshMs) this.presentPending();
  }

  /** Shows the waiting frame, if there is one and the window is visible. Throws CallError. */
  presentPending(): void {
    const slot = this.#pending;
    const { window, counts, latency, redraw } = this.#options;
    if (slot === undefined || !window.visible) return;
    this.#pending = undefined;
    if (slot.where === "locked") slot.texture.unlock();
    else if (slot.where === "staging") {
      const { address } = slot.staging?.mapping ?? { address: 0 };
      if (!this.#load(slot, address, slot.bytes)) return;
    }
    slot.where = "texture";
    this.#shown = slot;
    redraw();
    counts.shown += 1;
    addLatency(latency, slot.captureUs);
  }

  [Symbol.dispose](): void {
    this.#shown = undefined;
    this.#pending = undefined;
    if (this.#owned.disposed) return;
    this.#owned.dispose();
    this.#options.ended();
  }
}

// One stream to a guest, from STREAMON to STREAMOFF: takes the pictures of the source, keeps the guest's rate, and shows the stand-by
// card while none come.
import { monotonicUs } from "../../ffi/clock.ts";
import { log } from "../cli/log.ts";
import { ProtocolError, UnavailableError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { DeviceLoop, GuestMemory } from "../virtio/virtio-device.ts";
import type { CaptureBuffer } from "./capture-buffer.ts";
import type { CaptureQueue } from "./capture-queue.ts";
import type { Events } from "./events.ts";
import type { MediaCounts } from "./media-counts.ts";
import type { ShownFrame, Viewer } from "./media-source.ts";
import type { Interval, Mode } from "./offers.ts";
import { PictureFit } from "./picture-fit.ts";

/** A source that is silent for longer has no signal. */
const SILENT_MS = 1000;
/** Between two stand-by cards. */
const CARD_MS = 500;
/** How often silence is looked for. */
const TICK_MS = 100;
/** A picture this early, in intervals, is still in time. */
const EARLY = 0.25;
/** After a stall this many pictures may come faster than the guest's rate: they were captured in time. */
const BURST = 4;
/** A source is faster than the guest's rate only from this factor on: clocks differ. */
const FASTER = 1.05;

/** Lines about damaged frames of one stream: a sender can make them without end. */
const MOST_LINES = 3;

export interface ViewingOptions {
  readonly loop: DeviceLoop;
  readonly queue: CaptureQueue;
  readonly mode: Mode;
  readonly interval: Interval;
  readonly events: Events;
  readonly counts: MediaCounts;
  /** Guest memory as it is now. */
  readonly memory: () => GuestMemory;
  readonly sourceName: string;
}

export class Viewing implements Viewer, Disposable {
  readonly #of: ViewingOptions;
  readonly #fit: PictureFit;
  readonly #timer: Disposable;
  readonly #intervalUs: number;
  /** Whether pictures may have to be left out to keep the guest's rate. */
  #paced = true;
  /** When the next picture is due, CLOCK_MONOTONIC. */
  #dueUs = monotonicUs();
  #pictureUs = monotonicUs();
  #cardUs = 0;
  /** Of the last picture. */
  #stampUs = 0;
  /** Why there are no pictures, once the source has said it. */
  #lines: readonly string[] | undefined;
  /** What was logged of damaged frames. */
  readonly #said = new Set<string>();
  #paused = false;
  /** The library that makes the stand-by card is missing. */
  #hasNoCard = false;

  constructor(of: ViewingOptions) {
    this.#of = of;
    this.#fit = new PictureFit(of.mode);
    this.#intervalUs = (of.interval.numerator / of.interval.denominator) * 1e6;
    this.#timer = of.loop.every(TICK_MS, () => this.#tick());
  }

  /** While the guest is paused its memory must not be written: pictures are left out. */
  set paused(paused: boolean) {
    this.#paused = paused;
    if (!paused) this.#pictureUs = monotonicUs();
  }

  begin(picture: Picture, fps: number | undefined): void {
    this.#fit.begin(picture);
    this.#paced = fps === undefined || (fps * this.#intervalUs) / 1e6 > FASTER;
  }

  show(frame: ShownFrame): void {
    if (this.#paused) return;
    const nowUs = monotonicUs();
    const { queue, counts } = this.#of;
    if (this.#paced && !this.#isDue(nowUs)) {
      counts.passed += 1;
      this.#pictureUs = nowUs;
      return;
    }
    const buffer = queue.next;
    if (buffer === undefined) {
      counts.dropped += 1;
      queue.skip();
      this.#pictureUs = nowUs;
      return;
    }
    const wrong = this.#copied(frame, buffer);
    if (wrong !== undefined) {
      this.#damaged(wrong); // a source of nothing else is a silent one
      return;
    }
    this.#pictureUs = nowUs;
    this.#lines = undefined;
    counts.delivered += 1;
    counts.bytes += buffer.bytesused;
    const takenUs = frame.tsSec * 1e6 + frame.tsUsec;
    // Some drivers stamp with the time of day: a picture of the future has that of its arrival.
    this.#finish(buffer, takenUs > 0 && takenUs <= nowUs ? takenUs : nowUs);
  }

  #isDue(nowUs: number): boolean {
    const interval = this.#intervalUs;
    if (nowUs < this.#dueUs - interval * EARLY) return false;
    this.#dueUs = Math.max(this.#dueUs + interval, nowUs - interval * BURST);
    return true;
  }

  /** Copies a picture. Returns the reason when it cannot be converted; after some time without pictures the stand-by card is shown. */
  #copied(frame: ShownFrame, buffer: CaptureBuffer): string | undefined {
    try {
      return this.#fit.copy(frame, buffer, this.#of.memory());
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof UnavailableError)) throw error;
      return error.message;
    }
  }

  #damaged(wrong: string): void {
    this.#of.counts.damaged += 1;
    if (this.#said.has(wrong) || this.#said.size >= MOST_LINES) return;
    this.#said.add(wrong);
    log.warn(`${this.#of.sourceName}: a frame is left out: ${wrong}`);
  }

  /** The time stamps of a stream never go back: a stand-by card may be newer than the picture that ends it. */
  #finish(buffer: CaptureBuffer, wantedUs: number): void {
    const us = Math.max(wantedUs, this.#stampUs);
    this.#stampUs = us;
    buffer.tsSec = Math.floor(us / 1e6);
    buffer.tsUsec = us % 1e6;
    this.#of.queue.finish();
    this.#of.events.send(buffer);
  }

  lost(lines: readonly string[]): void {
    this.#lines = lines;
    this.#tick();
  }

  /** Shows the card when it is time for it. */
  #tick(): void {
    if (this.#paused) return;
    const nowUs = monotonicUs();
    const silentUs = nowUs - this.#pictureUs;
    if (this.#lines === undefined && silentUs < SILENT_MS * 1000) return;
    if (nowUs - this.#cardUs < CARD_MS * 1000) return;
    const buffer = this.#of.queue.next;
    if (buffer === undefined) return;
    const lines = this.#lines ?? ["NO SIGNAL", this.#of.sourceName];
    if (!this.#carded(lines, buffer)) return;
    this.#cardUs = nowUs;
    this.#of.counts.cards += 1;
    this.#finish(buffer, nowUs);
  }

  /** Without the library that encodes JPEG a guest that chose MJPG sees no card: its pictures need no library. */
  #carded(lines: readonly string[], buffer: CaptureBuffer): boolean {
    if (this.#hasNoCard) return false;
    try {
      return this.#fit.card(lines, buffer, this.#of.memory());
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      this.#hasNoCard = true;
      log.warn(`${this.#of.sourceName}: there is no stand-by picture: ${error.message}`);
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.#fit[Symbol.dispose]();
  }
}

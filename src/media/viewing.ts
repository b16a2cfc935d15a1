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
  /** Why there are no pictures, once the source has said it. */
  #lines: readonly string[] | undefined;
  /** What was logged of damaged frames. */
  readonly #said = new Set<string>();
  #paused = false;

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
    const nowUs = monotonicUs();
    this.#pictureUs = nowUs;
    this.#lines = undefined;
    if (this.#paused) return;
    const { queue, counts } = this.#of;
    if (this.#paced && !this.#isDue(nowUs)) {
      counts.passed += 1;
      return;
    }
    const buffer = queue.next;
    if (buffer === undefined) {
      counts.dropped += 1;
      queue.skip();
      return;
    }
    const wrong = this.#copied(frame, buffer);
    if (wrong !== undefined) {
      this.#damaged(wrong);
      return;
    }
    counts.delivered += 1;
    counts.bytes += buffer.bytesused;
    const known = frame.tsSec > 0 || frame.tsUsec > 0;
    this.#finish(
      buffer,
      known ? frame.tsSec : Math.floor(nowUs / 1e6),
      known ? frame.tsUsec : nowUs % 1e6,
    );
  }

  #isDue(nowUs: number): boolean {
    const interval = this.#intervalUs;
    if (nowUs < this.#dueUs - interval * EARLY) return false;
    this.#dueUs = Math.max(this.#dueUs + interval, nowUs - interval * BURST);
    return true;
  }

  /** Pictures that cannot be converted are told as what is wrong with each; the card is shown after the silence. */
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

  #finish(buffer: CaptureBuffer, tsSec: number, tsUsec: number): void {
    buffer.tsSec = tsSec;
    buffer.tsUsec = tsUsec;
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
    if (!this.#fit.card(lines, buffer, this.#of.memory())) return;
    this.#cardUs = nowUs;
    this.#of.counts.cards += 1;
    this.#finish(buffer, Math.floor(nowUs / 1e6), nowUs % 1e6);
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
    this.#fit[Symbol.dispose]();
  }
}

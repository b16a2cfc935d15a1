// A source of frames (testsrc, a recording, a host's camera) as the source of the device: opened when a guest starts a stream, closed
// some time after the last stream, opened again when it ends or fails. The guest never sees an error of it.
import { EPOLLIN, EPOLLPRI } from "../../ffi/epoll.ts";
import { asSysError } from "../../ffi/errno.ts";
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import { log } from "../cli/log.ts";
import { SourceEnded, UnavailableError, UsageError } from "../errors.ts";
import type { Source, SourceWatch } from "../frame/source.ts";
import type { DeviceLoop } from "../virtio/virtio-device.ts";
import type { Controls } from "./controls.ts";
import type { MediaSource, Viewer } from "./media-source.ts";
import type { FormatOffer, Interval, Mode } from "./offers.ts";
import type { Selections } from "./selections.ts";

/** How long a source stays open after a stream: a program that stops and starts again finds it running. */
export const LINGER_MS = 2000;
/** Between two attempts to open a source that is not there. */
const RETRY_MS = 1000;

export interface FrameSourceOptions {
  readonly name: string;
  readonly offers: readonly FormatOffer[];
  readonly controls?: Controls | undefined;
  readonly selections?: Selections | undefined;
  /** Opens the source in the mode nearest to this one. Throws UnavailableError, UsageError or SysError. */
  readonly open: (mode: Mode, interval: Interval) => Source;
}

/** An open source, with what it was opened for. */
interface Opened extends Disposable {
  readonly source: Source;
  readonly mode: Mode;
  readonly interval: Interval;
}

export class FrameSource implements MediaSource {
  readonly name: string;
  readonly offers: readonly FormatOffer[];
  readonly controls: Controls | undefined;
  readonly selections: Selections | undefined;
  readonly #open: FrameSourceOptions["open"];
  #loop: DeviceLoop | undefined;
  #opened: Opened | undefined;
  #viewer: Viewer | undefined;
  /** The viewer, once it knows what the pictures are: an open source has some before that. */
  #ready: Viewer | undefined;
  #mode: Mode | undefined;
  #interval: Interval | undefined;
  /** Opens or closes the source later. */
  #later: Disposable | undefined;
  /** What was logged last of a source that is not there. */
  #said: string | undefined;

  constructor({ name, offers, controls, selections, open }: FrameSourceOptions) {
    this.name = name;
    this.offers = offers;
    this.controls = controls;
    this.selections = selections;
    this.#open = open;
  }

  /** Whether the device behind it is open: a camera's light is on. */
  get isOpen(): boolean {
    return this.#opened !== undefined;
  }

  /** The device behind it, while it is open. */
  get device(): IoctlDevice | undefined {
    return this.#opened?.source.device;
  }

  start(loop: DeviceLoop, mode: Mode, interval: Interval, viewer: Viewer): void {
    this.#loop = loop;
    this.#viewer = viewer;
    this.#ready = undefined;
    this.#mode = mode;
    this.#interval = interval;
    const { mode: openMode, interval: openInterval } = this.#opened ?? {};
    if (openMode !== undefined && !(sameMode(openMode, mode) && openInterval === interval))
      this.#close();
    // Opening a camera takes time: the guest gets its answer first.
    this.#do(0, () => this.#show());
  }

  stop(): void {
    this.#viewer = undefined;
    this.#ready = undefined;
    if (this.#opened !== undefined) this.#do(LINGER_MS, () => this.#close());
    else this.#cancel();
  }

  #do(delayMs: number, what: () => void): void {
    this.#cancel();
    this.#later = this.#loop?.after(delayMs, what);
  }

  #cancel(): void {
    this.#later?.[Symbol.dispose]();
    this.#later = undefined;
  }

  #show(): void {
    const viewer = this.#viewer;
    if (viewer === undefined) return;
    try {
      this.#opened ??= this.#openNow();
      const { source } = this.#opened;
      viewer.begin(source.picture, source.fps);
      this.#ready = viewer;
      this.#said = undefined;
    } catch (error) {
      this.#lost(error);
    }
  }

  #openNow(): Opened {
    const loop = this.#loop;
    const mode = this.#mode;
    const interval = this.#interval;
    if (loop === undefined || mode === undefined || interval === undefined)
      throw new Error("the source was not started");
    using owned = new DisposableStack();
    const source = owned.use(this.#open(mode, interval));
    source.start();
    owned.defer(() => source.stop());
    const handler = (events: number) => this.#take(source, events);
    const watch: SourceWatch = owned.use(
      source.watch?.(handler) ?? loop.watch(source.fd, 0, handler),
    );
    watch.setEvents(EPOLLIN | EPOLLPRI);
    const release = owned.move();
    return { source, mode, interval, [Symbol.dispose]: () => release.dispose() };
  }

  /** Takes the frames that wait, at most as many as there are buffers: a fast source must not keep the loop busy. */
  #take(source: Source, events: number): void {
    try {
      if ((events & EPOLLPRI) !== 0) source.urgent?.();
      for (let taken = 0; taken < source.frames.length; taken++) {
        const frame = source.next();
        if (frame === undefined) break;
        try {
          this.#ready?.show(frame);
        } finally {
          frame[Symbol.dispose]();
        }
      }
      if (source.exhausted === true) throw new SourceEnded(`${this.name} has ended`, false);
    } catch (error) {
      this.#lost(error);
    }
  }

  /** The source is not there: the guest sees why, and the source is tried again. */
  #lost(error: unknown): void {
    const reason = reasonOf(error);
    this.#close();
    if (this.#said !== reason) log.warn(`${reason}; the guest sees a stand-by picture`);
    this.#said = reason;
    if (this.#viewer === undefined) return;
    this.#do(RETRY_MS, () => this.#show());
    this.#viewer.lost(["NO SIGNAL", this.name, "trying again"]);
  }

  #close(): void {
    this.#cancel();
    const opened = this.#opened;
    this.#opened = undefined;
    opened?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#viewer = undefined;
    this.#close();
  }
}

const sameMode = (a: Mode, b: Mode) =>
  a.width === b.width && a.height === b.height && a.pixelformat === b.pixelformat;

/** Why a source is not there. Throws what is a defect. */
function reasonOf(error: unknown): string {
  const expected =
    error instanceof SourceEnded ||
    error instanceof UnavailableError ||
    error instanceof UsageError ||
    asSysError(error) !== undefined;
  if (!expected) throw error;
  return (error as Error).message;
}

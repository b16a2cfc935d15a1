// The side of --metrics in the tool's own thread: starts the worker that serves the page, and writes what it reads. The loop
// never serves a request; docs/decisions/0044-metrics-in-a-worker.md.
import { lstatSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { copyMemory } from "../../ffi/copy.ts";
import { SysError } from "../../ffi/errno.ts";
import { sharedAddress } from "../../ffi/libc.ts";
import type { Figure, FigureSink, Published } from "../cli/figures.ts";
import { log } from "../cli/log.ts";
import { COMPILED } from "../cli/own-program.ts";
import { versionLine } from "../cli/version.ts";
import { UnavailableError } from "../errors.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { PictureSink } from "../frame/picture-sink.ts";
import type { Loop } from "../loop.ts";
import { control, type FromWorker, type Place, type ToWorker } from "./messages.ts";
import { findPlace, parsePlace } from "./place.ts";
import { FigureGroup } from "./shared-figures.ts";

/** How often figures are written for the worker. */
const UPDATE_MS = 250;
/** How often the runtime runs while the worker starts, to take its messages. */
const START_TURN_MS = 2;
/** Only the owner may connect to the Unix socket. */
const SOCKET_UMASK = 0o177;

/** The worker's file: the build makes it the second entry of every executable. */
const program = Bun.main.startsWith(COMPILED)
  ? `${COMPILED}root/src/metrics/page-worker.js`
  : new URL("./page-worker.ts", import.meta.url).href;

export interface MetricsOptions {
  /** The tool's name, for the page. */
  readonly tool: string;
  /** Whether it receives pictures that the page can show. */
  readonly pictures: boolean;
  /** Another worker, for tests. */
  readonly program?: string;
}

/**
 * Serves figures at `text`, the value of --metrics. Undefined without one, and when `signal` aborts before a name server has
 * answered. Throws UsageError, or UnavailableError when it cannot listen there.
 */
export async function openMetrics(
  loop: Loop,
  text: string | undefined,
  options: MetricsOptions,
  signal: AbortSignal,
): Promise<Metrics | undefined> {
  if (text === undefined) return undefined;
  const address = parsePlace(text);
  const place = await findPlace(loop, address, signal);
  if (place === undefined) return undefined;
  using owned = new DisposableStack();
  const metrics = owned.use(new Metrics(loop, place, options));
  await metrics.listening(address.text);
  log.info(`metrics on ${"path" in place ? address.text : `http://${address.text}/`}`);
  owned.move();
  return metrics;
}

export class Metrics implements FigureSink, PictureSink, Disposable {
  readonly #loop: Loop;
  readonly #place: Place;
  readonly #worker: Worker;
  readonly #opened: PromiseWithResolvers<FromWorker>;
  readonly #control = new Int32Array(new SharedArrayBuffer(control.cells * 4));
  /** By number; those that were not withdrawn. */
  readonly #groups = new Map<number, FigureGroup>();
  #published = 0;
  readonly #timer: Disposable;
  /** The newest copy. The worker reads it until it wants the next one. */
  #copy = new SharedArrayBuffer(0);
  #inode: number | undefined;
  #over = false;

  /** Throws UnavailableError. */
  constructor(loop: Loop, place: Place, options: MetricsOptions) {
    this.#loop = loop;
    this.#place = place;
    this.#opened = loop.promise<FromWorker>();
    this.#worker = startWorker(options.program ?? program);
    this.#worker.onmessage = ({ data }) => this.#onMessage(data as FromWorker);
    this.#worker.onerror = ({ message }) => this.#failed(message);
    const { tool, pictures } = options;
    const startedAt = performance.timeOrigin / 1000;
    const about = { tool, version: versionLine(), startedAt, pictures };
    this.#send({ is: "open", place, about, control: this.#control.buffer as SharedArrayBuffer });
    this.#timer = loop.every(UPDATE_MS, () => this.#update());
  }

  /**
   * Waits until the worker listens, also when the tool is to end: a worker that is ended while it binds can leave its socket
   * behind. `name` is its address for messages. Throws UnavailableError.
   */
  async listening(name: string): Promise<void> {
    const before = process.umask(SOCKET_UMASK);
    using _turns = this.#loop.every(START_TURN_MS, () => undefined);
    try {
      const answer = await this.#opened.promise;
      if (answer.is === "refused") throw refused(name, answer.code);
    } finally {
      process.umask(before);
    }
    if ("path" in this.#place) this.#inode = inodeAt(this.#place.path);
  }

  #onMessage(message: FromWorker): void {
    if (message.is === "warning") log.warn(`metrics: ${message.text}`);
    else this.#opened.resolve(message);
  }

  /** The worker has ended. The stream goes on without it. */
  #failed(reason: string): void {
    if (this.#over) return;
    this.#end();
    const lines = reason.split("\n"); // the runtime may show the source before the error
    const line = lines.find((text) => /^\w*error\b/i.test(text)) ?? lines[0];
    log.warn(
      `metrics: the page has failed and is closed, the stream goes on: ${line?.replace(/^error: /i, "")}`,
    );
    this.#opened.resolve({ is: "open" });
  }

  #send(message: ToWorker): void {
    if (!this.#over) this.#worker.postMessage(message);
  }

  #update(): void {
    for (const group of this.#groups.values()) group.update();
    Atomics.add(this.#control, control.beats, 1);
  }

  publish(figures: readonly Figure[], labels: Readonly<Record<string, string>> = {}): Published {
    const group = new FigureGroup(figures, labels);
    const number = this.#published++;
    this.#groups.set(number, group);
    this.#send({ is: "figures", group: number, figures: group.shared, memory: group.memory });
    return {
      update: () => group.update(),
      withdraw: () => {
        if (this.#groups.delete(number)) this.#send({ is: "withdrawn", group: number });
      },
      [Symbol.dispose]: () => group[Symbol.dispose](),
    };
  }

  get wanted(): boolean {
    return Atomics.load(this.#control, control.pictureWanted) !== 0;
  }

  take(stream: Picture, address: number, bytes: number, changed?: () => boolean): void {
    if (bytes === 0) return;
    if (this.#copy.byteLength < bytes) this.#copy = new SharedArrayBuffer(bytes);
    copyMemory(sharedAddress(this.#copy), address, bytes);
    if (changed?.() === true) return;
    Atomics.store(this.#control, control.pictureWanted, 0);
    const { width, height, pixelformat, sizeimage } = stream;
    const picture = { width, height, pixelformat, sizeimage };
    this.#send({ is: "picture", stream: picture, bytes, memory: this.#copy });
  }

  #end(): void {
    this.#over = true;
    this.#timer[Symbol.dispose]();
    this.#control.fill(0);
    const { path } = "path" in this.#place ? this.#place : {};
    // Another program may have put its own socket there. The runtime removes the path, too, while it ends the worker.
    if (path !== undefined && this.#inode !== undefined && inodeAt(path) === this.#inode)
      rmSync(path, { force: true });
    this.#worker.terminate();
  }

  [Symbol.dispose](): void {
    if (!this.#over) this.#end();
  }
}

/** The runtime throws a TypeError where the kernel allows no further thread. */
function startWorker(file: string): Worker {
  try {
    return new Worker(file);
  } catch (error) {
    throw new UnavailableError(
      `--metrics: ${(error as Error).message}; raise the limit (ulimit -u, TasksMax=), or leave --metrics out`,
    );
  }
}

const inodeAt = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.ino;

const advice: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there: choose another --metrics",
  EADDRNOTAVAIL: "this host has no such address: choose another --metrics",
  EACCES: "choose a port from 1024 on, a folder you may write to, or run as root",
  ENOENT: "make the folder first, or choose another path",
};

function refused(name: string, code: string): UnavailableError {
  const number = constants.errno[code as keyof typeof constants.errno] ?? constants.errno.EIO;
  const cause = new SysError("bind", name, number);
  const todo = advice[code] ?? "choose another --metrics";
  return new UnavailableError(`${cause.message}; ${todo}`, { cause });
}

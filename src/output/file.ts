// The --output of a receiver: a file, a pipe, a device or stdout, over all its streams. A file is opened, and an old one
// emptied, when the first frame comes.
import { accessSync, constants, lstatSync, readlinkSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_CREAT, O_EXCL, O_NONBLOCK, O_WRONLY, truncate } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import { checkStdoutOpen, ownStdout } from "../cli/stdout.ts";
import { advised, needed, ProtocolError, UnavailableError } from "../errors.ts";
import { fourccName } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { StreamOutput, WriterCalls } from "../frame/stream-output.ts";
import type { Loop } from "../loop.ts";
import { type FrameOutput, FrameWriter } from "./frame-writer.ts";
import { isY4m } from "./play.ts";
import { Sink } from "./sink.ts";
import type { WrittenFiles } from "./written-files.ts";

const NO_READER = "ENXIO";
const LOOK_FOR_READER_MS = 100;
const ANOTHER = "choose another --output";
const LOCKED = "EAGAIN";
/** Paths of stdout beside "-". */
const STDOUT_PATHS = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
const IN_USE = `another program writes this file: ${ANOTHER}`;

/** What to do with a file that exists already. */
export interface OutputOptions {
  readonly noClobber?: boolean;
  /** The files that this tool has written, where it writes those of several senders: none of them is emptied. */
  readonly written?: WrittenFiles | undefined;
}

/** Like `openOutput`, but waits until a program reads a named pipe. Undefined when `signal` aborts first. */
export async function openOutputWhenRead(
  loop: Loop,
  path: string,
  options: OutputOptions,
  signal: AbortSignal,
): Promise<Output | undefined> {
  for (let said = false; !signal.aborted; said = true) {
    try {
      return openOutput(loop, path, options);
    } catch (error) {
      const { cause } = error as Error;
      if (path === "-" || !(cause instanceof SysError) || cause.code !== NO_READER) throw error;
      if (!said) log.info(`${path}: waiting for a program that reads this pipe`);
    }
    await loop.sleep(LOOK_FOR_READER_MS, signal);
  }
  return undefined;
}

/**
 * Opens the --output: "-" for stdout, a pipe or a device at once. A regular file is only checked. Throws UnavailableError,
 * also for a named pipe without a reader.
 */
export function openOutput(loop: Loop, path: string, options: OutputOptions = {}): Output {
  if (path === "-") return new Output(loop, "stdout", new Sink(ownStdout(), "stdout", false));
  if (STDOUT_PATHS.includes(path)) checkStdoutOpen();
  const there = checkOutput(path, options);
  if (there === undefined || there.isFile()) return new Output(loop, path, undefined, options);
  // Opening a named pipe must not block.
  const fd = needed(() => Fd.open(path, O_WRONLY | O_NONBLOCK), openAdvice);
  return new Output(loop, path, new Sink(fd, path, true));
}

const openAdvice = ({ code }: SysError): string =>
  code === NO_READER ? "no program reads this pipe" : code === LOCKED ? IN_USE : ANOTHER;

/**
 * Checks that the file `path` can be written, without a change. Returns what is there: a pipe or a device is not looked at any
 * closer. Throws UnavailableError.
 */
export function checkOutput(
  path: string,
  { noClobber = false, written }: OutputOptions,
): Stats | undefined {
  const there = needed(() => statSync(path, { throwIfNoEntry: false }), openAdvice);
  if (there === undefined) {
    needed(() => checkFolder(path), openAdvice);
    return undefined;
  }
  // Otherwise it looks like a pipe without a reader.
  if (there.isSocket()) throw new UnavailableError(`open ${path}: this is a socket; ${ANOTHER}`);
  if (there.isDirectory() || there.isFile()) {
    if (written?.has(path) === true) return there; // the stream gets another file
    needed(() => {
      using file = Fd.open(path, O_WRONLY | O_NONBLOCK);
      lock(file);
    }, openAdvice);
  }
  if (!there.isFile() || !noClobber) return there;
  return needed(
    () => {
      throw new SysError("open", path, errno.EEXIST);
    },
    () => `${ANOTHER}, or omit --no-clobber`,
  );
}

/** Throws SysError where the file `path` cannot be created. `target` is where links led so far. */
function checkFolder(path: string, target = path): void {
  if (target.endsWith("/")) throw new SysError("open", path, errno.EISDIR);
  if (lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink() === true) {
    const next = readlinkSync(target);
    checkFolder(path, next.startsWith("/") ? next : `${dirname(target)}/${next}`);
    return;
  }
  try {
    accessSync(dirname(target), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new SysError("open", path, Math.abs((error as { errno?: number }).errno ?? errno.ENOENT));
  }
}

/** "film.y4m" and 2: "film-2.y4m". */
function numbered(path: string, n: number): string {
  const [, stem = path, ending = ""] = /^(.*[^/])(\.[^./]+)$/.exec(path) ?? [];
  return `${stem}-${n}${ending}`;
}

export class Output implements FrameOutput, StreamOutput {
  readonly name: string;
  readonly y4m: boolean;
  readonly #loop: Loop;
  readonly #noClobber: boolean;
  readonly #written: WrittenFiles | undefined;
  /** Pipes, devices and stdout: there is one for all streams. */
  readonly #fixed: boolean;
  #sink: Sink | undefined;
  #files = 0;
  #frames = 0;
  #leftOut = 0;
  readonly #plays: string[] = [];

  /** `sink`: what is open already. Without it `name` is a path, which the first frame opens. */
  constructor(
    loop: Loop,
    name: string,
    sink?: Sink,
    { noClobber = false, written }: OutputOptions = {},
  ) {
    this.#loop = loop;
    this.name = name;
    this.y4m = isY4m(name);
    this.#fixed = sink !== undefined;
    this.#sink = sink;
    this.#noClobber = noClobber;
    this.#written = written;
  }

  /** Frames written completely. */
  get frames(): number {
    return this.#frames + (this.#sink?.frames ?? 0);
  }

  /** Frames that were shorter than a picture, and were not written. */
  get leftOutFrames(): number {
    return this.#leftOut;
  }

  /**
   * Begins a stream; dispose the writer when it ends. Throws ProtocolError when its frames cannot be written here: they
   * hold no picture, or a pipe got frames of another size or format before.
   */
  begin(picture: Picture, calls: WriterCalls): FrameWriter {
    const first = this.#sink?.picture;
    if (this.#fixed && first !== undefined && !isSame(first, picture)) {
      const what = ({ width, height, pixelformat }: Picture) =>
        `${width}x${height} ${fourccName(pixelformat)}`;
      throw new ProtocolError(
        `hello: the stream is ${what(picture)}, ${this.name} holds ${what(first)}`,
      );
    }
    return new FrameWriter(this.#loop, this, picture, calls);
  }

  sinkFor(picture: Picture, colourSpace: string | undefined): Sink {
    const current = this.#sink;
    const goesOn =
      current !== undefined && (current.picture === undefined || isSame(current.picture, picture));
    const sink = goesOn ? current : this.#next();
    this.#sink = sink;
    sink.begin(picture, colourSpace);
    return sink;
  }

  /** Opens the file, or for a stream that does not fit in it the next one: NAME-2, NAME-3. */
  #next(): Sink {
    this.#close(0);
    const sink = this.#openNext();
    this.#written?.add(sink.fd);
    return sink;
  }

  #openNext(): Sink {
    this.#files += 1;
    const foreign = this.#files === 1 && this.#written?.has(this.name) === true;
    if (this.#files === 1 && !foreign) {
      const keep = this.#noClobber ? O_EXCL : 0;
      return openFile(
        this.name,
        keep,
        this.#noClobber ? `${ANOTHER}, or omit --no-clobber` : ANOTHER,
      );
    }
    const why = foreign
      ? `${this.name} has those of another sender`
      : `which differ from those in ${this.name}`;
    for (this.#files = Math.max(2, this.#files); ; this.#files += 1) {
      const path = numbered(this.name, this.#files);
      try {
        const sink = openFile(path, O_EXCL, ANOTHER);
        log.info(`${path}: has the frames of this stream, ${why}`);
        return sink;
      } catch (error) {
        if (!(error instanceof SysError) || error.code !== "EEXIST") throw error;
      }
    }
  }

  leftOut(bytes: number, least: number): void {
    this.#leftOut += 1;
    if (this.#leftOut > 1) return;
    log.warn(
      `${this.name}: a frame of ${bytes} bytes is left out, a picture has ${least}; later ones are left out without a warning`,
    );
  }

  #close(fps: number): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#sink = undefined;
    const play = sink.finish(fps);
    this.#frames += sink.frames;
    if (play !== undefined) this.#plays.push(play);
  }

  /** Closes the file. `fps` is the measured rate. Returns lines for the summary. Throws SysError. */
  finish(fps: number): readonly string[] {
    this.#close(fps);
    const left = this.#leftOut === 0 ? [] : [`${this.#leftOut} short frames were left out`];
    return [...left, ...this.#plays];
  }

  [Symbol.dispose](): void {
    this.#sink?.[Symbol.dispose]();
  }
}

/** Throws SysError: a sender is not at fault. */
function openFile(path: string, flags: number, advice: string): Sink {
  using owned = new DisposableStack();
  try {
    const fd = owned.use(Fd.open(path, O_WRONLY | O_CREAT | O_NONBLOCK | flags));
    lock(fd);
    const r = truncate(fd.number, 0);
    if (r < 0 && r !== -errno.EINVAL) throw new SysError("ftruncate", path, -r); // EINVAL: not a regular file
    const sink = new Sink(fd, path, true);
    owned.move();
    return sink;
  } catch (error) {
    const locked = error instanceof SysError && error.code === LOCKED;
    throw advised(error as Error, locked ? IN_USE : advice);
  }
}

/** Two receivers would write over each other's frames. Throws SysError. */
function lock(fd: Fd): void {
  if (!fd.lock()) throw new SysError("flock", fd.name, errno.EAGAIN);
}

const isSame = (a: Picture, b: Picture) =>
  a.width === b.width && a.height === b.height && a.pixelformat === b.pixelformat;

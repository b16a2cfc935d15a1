// A recording that comes through a pipe: stdin or a named pipe. Its header is read before the connection is made, because
// the hello has the size and format of the pictures.
import { type Stats, statSync } from "node:fs";
import { EPOLLIN } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_RDONLY, readAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { receive } from "../../ffi/socket.ts";
import { log } from "../cli/log.ts";
import { needed, UnavailableError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { MAX_HEADER, Y4M_MAGIC } from "./y4m-header.ts";

const STDIN = 0;

/** An open pipe, with what was read of it to learn what it carries. */
export interface PipeInput extends Disposable {
  readonly name: string;
  readonly fd: Fd;
  /** The header line of YUV4MPEG2; undefined for raw pictures. */
  readonly header: string | undefined;
  /** The first bytes of the first raw picture. */
  readonly head: Uint8Array<ArrayBuffer>;
  /** Reads up to `length` bytes to `at`. Returns the count, 0 at the end, or a negative errno. */
  read(at: number, length: number): number;
}

/** Whether the device is stdin: "-", or a path of it. */
export const isStdin = (device: string): boolean =>
  ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].includes(device);

/** Undefined when there is nothing, or nothing that may be seen: opening it says why. */
function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Opens `device` if it is a pipe, and waits for its first bytes. Undefined when it is something else, or when `signal`
 * aborts first. Throws UnavailableError.
 */
export async function openPipeInput(
  loop: Loop,
  device: string,
  signal: AbortSignal,
): Promise<PipeInput | undefined> {
  const path = isStdin(device) ? `/proc/self/fd/${STDIN}` : device;
  const stat = statusOf(path);
  const isPipe = stat?.isFIFO() === true || (isStdin(device) && stat?.isSocket() === true);
  if (!isPipe) {
    if (!isStdin(device) || stat?.isFile() === true) return undefined;
    throw new UnavailableError(`--device ${device}: stdin is neither a pipe nor a file`);
  }
  const name = isStdin(device) ? "stdin" : device;
  using owned = new DisposableStack();
  const fd = owned.use(
    needed(
      () => openPipe(path, name),
      () => "name a pipe that can be read",
    ),
  );
  const socket = stat?.isSocket() === true;
  const read = (at: number, length: number) =>
    socket ? receive(fd, at, length) : readAt(fd.number, at, length);
  const found = await readHead(loop, { name, fd, read }, signal);
  if (found === undefined) return undefined;
  const release = owned.move();
  return { name, fd, read, ...found, [Symbol.dispose]: () => release.dispose() };
}

/** A non-blocking descriptor. It is opened a second time, because O_NONBLOCK would affect the processes that share it. */
function openPipe(path: string, name: string): Fd {
  try {
    const fd = Fd.open(path, O_RDONLY | O_NONBLOCK);
    return fd;
  } catch (error) {
    if (name !== "stdin" || !(error instanceof SysError)) throw error;
    // A socket, or a pipe of another user, cannot be opened a second time. A socket is read with MSG_DONTWAIT.
    const fd = Fd.duplicate(STDIN, name);
    if (error.code !== "ENXIO") fd.setNonBlocking(true);
    return fd;
  }
}

/** Reads the magic, and behind it the header line, byte by byte: what follows is read into buffers. */
async function readHead(
  loop: Loop,
  pipe: Pick<PipeInput, "name" | "fd" | "read">,
  signal: AbortSignal,
): Promise<{ header: string | undefined; head: Uint8Array<ArrayBuffer> } | undefined> {
  const bytes = new Uint8Array(new ArrayBuffer(MAX_HEADER));
  const text = (end: number) => new TextDecoder("latin1").decode(bytes.subarray(0, end));
  const { promise, resolve, reject } = loop.promise<number | undefined>();
  let got = 0;
  let said = false;
  const step = (): boolean => {
    for (;;) {
      const y4m = Y4M_MAGIC.startsWith(text(Math.min(got, Y4M_MAGIC.length)));
      if (!y4m || (got > 0 && bytes[got - 1] === 0x0a)) return true;
      if (got === MAX_HEADER)
        throw new UnavailableError(`${pipe.name}: no line at byte 0; not YUV4MPEG2, or damaged`);
      const r = pipe.read(addressOf(bytes) + got, 1);
      if (r === -errno.EAGAIN || r === -errno.EINTR) return false;
      if (r < 0) throw new SysError("read", pipe.name, -r);
      if (r === 0) throw new UnavailableError(`${pipe.name}: it ended before the first picture`);
      got += r;
    }
  };
  const tryStep = () => {
    try {
      if (step()) resolve(got);
    } catch (error) {
      reject(error);
    }
  };
  // A named pipe without a writer reads as ended, but epoll does not report it.
  using watch = loop.watch(pipe.fd.number, EPOLLIN, tryStep);
  using _timer = loop.after(1000, () => {
    if (!said) log.info(`${pipe.name}: waiting for the first bytes of a recording`);
    said = true;
  });
  const stop = () => resolve(undefined);
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    const end = await promise;
    watch.setEvents(0);
    if (end === undefined) return undefined;
    const isHeader = bytes[end - 1] === 0x0a && text(Y4M_MAGIC.length) === Y4M_MAGIC;
    return isHeader
      ? { header: text(end - 1), head: bytes.subarray(0, 0) }
      : { header: undefined, head: bytes.slice(0, end) };
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

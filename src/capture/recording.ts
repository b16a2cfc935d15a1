// A recording as a source, in a loop: a raw file, or YUV4MPEG2 (https://wiki.multimedia.cx/index.php/YUV4MPEG2).
// Pictures are read into buffers: a mapped file that another process cuts would kill this process.
import { statSync } from "node:fs";
import { must } from "../../ffi/errno.ts";
import { Fd, O_RDONLY, preadAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { log } from "../cli/log.ts";
import { needed, SourceEnded, UnavailableError, UsageError } from "../errors.ts";
import { formats, fourcc, pixelFormatNamed } from "../format/formats.ts";
import { pictureBytes } from "../format/picture-layout.ts";
import type { Allocator } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";
import type { CaptureWish } from "./negotiate.ts";
import { type Fill, PacedSource } from "./paced.ts";

const MAX_HEADER = 4096;
const DEFAULT_FPS = 30;
const LOWEST_FPS = 0.001;
const HIGHEST_FPS = 1000;

interface Recording {
  readonly width: number;
  readonly height: number;
  readonly format: string;
  readonly fps: number;
  readonly sizeimage: number;
  /** Byte of the file where picture `n` starts. */
  readonly offsetOf: (n: number) => number;
  readonly count: number;
}

/** Opens a recording. A .y4m file has size, format and rate in its header. Throws UnavailableError or UsageError. */
export function openRecording(
  path: string,
  wish: CaptureWish & { readonly buffers: number; readonly allocator?: Allocator | undefined },
): Source {
  using owned = new DisposableStack();
  const fd = owned.use(
    needed(
      () => Fd.open(path, O_RDONLY),
      () => "name a recording that can be read",
    ),
  );
  const size = statSync(`/proc/self/fd/${fd.number}`).size;
  const recording = path.endsWith(".y4m") ? readY4m(fd, size, wish) : rawFrames(path, size, wish);
  return new PacedSource({
    name: path,
    picture: {
      width: recording.width,
      height: recording.height,
      pixelformat: fourcc(recording.format),
      sizeimage: recording.sizeimage,
    },
    buffers: wish.buffers,
    fps: recording.fps,
    allocator: wish.allocator,
    prepare:
      (buffers): Fill =>
      (index, sequence) => {
        const at = buffers[index]?.mapping.address;
        if (at === undefined) return 0;
        readFully(fd, at, recording.sizeimage, recording.offsetOf(sequence % recording.count));
        return recording.sizeimage;
      },
    owned: owned.move(),
  });
}

function readFully(fd: Fd, address: number, length: number, offset: number): void {
  let done = 0;
  while (done < length) {
    const r = must(
      preadAt(fd.number, address + done, length - done, offset + done),
      "pread",
      fd.name,
    );
    if (r === 0) throw new SourceEnded(`${fd.name}: the file was cut while it was played`, false);
    done += r;
  }
}

function rawFrames(path: string, size: number, wish: CaptureWish): Recording {
  const { width, height, format, fps = DEFAULT_FPS } = wish;
  const row = pixelFormatNamed(format);
  if (row === undefined) {
    const known = formats.map(({ name }) => name).join(", ");
    throw new UsageError(`a raw file needs one of the formats ${known}, got --format ${format}`);
  }
  const sizeimage = pictureBytes(row, width, height);
  const count = Math.floor(size / sizeimage);
  if (count === 0) {
    throw new UnavailableError(
      `${path}: ${size} bytes, one picture of ${width}x${height} ${format} has ${sizeimage}; check --width, --height, --format`,
    );
  }
  if (size % sizeimage !== 0)
    log.warn(`${path}: ${size % sizeimage} bytes after the last whole picture are not sent`);
  const sentAs = row.sentAs ?? row.name;
  return { width, height, format: sentAs, fps, sizeimage, count, offsetOf: (n) => n * sizeimage };
}

function readY4m(fd: Fd, size: number, wish: CaptureWish): Recording {
  const header = readLine(fd, 0, size);
  const words = header.split(" ");
  const tag = (letter: string) => words.find((word) => word.startsWith(letter))?.slice(1);
  const whole = (text = "") => (/^\d{1,10}$/.test(text) ? Number(text) : 0);
  const width = whole(tag("W"));
  const height = whole(tag("H"));
  const [frames, seconds] = (tag("F") ?? "").split(":").map(whole);
  const space = tag("C") ?? "420jpeg";
  const sane = (n: number) => n >= 1 && n <= 16384;
  if (words[0] !== "YUV4MPEG2" || !sane(width) || !sane(height)) {
    throw new UnavailableError(
      `${fd.name}: not a YUV4MPEG2 file with a size of 1 to 16384; check the file`,
    );
  }
  const is420 = ["420", "420jpeg", "420mpeg2", "420paldv"].includes(space);
  const row = formats.find(({ y4m }) => y4m === (is420 ? "420jpeg" : space));
  if (row === undefined) {
    throw new UnavailableError(
      `${fd.name}: colour space C${space}, only C420 and Cmono are known; convert it with ffmpeg -pix_fmt yuv420p`,
    );
  }
  const sizeimage = pictureBytes(row, width, height);
  const offsets: number[] = [];
  for (let at = header.length + 1; at < size; ) {
    const line = readLine(fd, at, size);
    if (line !== "FRAME" && !line.startsWith("FRAME "))
      throw new UnavailableError(`${fd.name}: no FRAME at byte ${at}; the file is damaged`);
    at += line.length + 1;
    if (at + sizeimage > size) {
      log.warn(`${fd.name}: the last picture is cut short and not sent`);
      break;
    }
    offsets.push(at);
    at += sizeimage;
  }
  if (offsets.length === 0)
    throw new UnavailableError(`${fd.name}: no picture in it; check the file`);
  const fps = wish.fps ?? sensibleRate(fd.name, (frames ?? 0) / (seconds ?? 0));
  return {
    width,
    height,
    format: row.name,
    fps,
    sizeimage,
    count: offsets.length,
    offsetOf: (n) => offsets[n] ?? 0,
  };
}

/** The rate of a header if it is in range, else the default and a warning. "0:0" means unknown: no warning. */
function sensibleRate(name: string, fps: number): number {
  if (fps >= LOWEST_FPS && fps <= HIGHEST_FPS) return fps;
  if (!Number.isNaN(fps)) {
    log.warn(`${name}: ${fps} fps is not ${LOWEST_FPS} to ${HIGHEST_FPS}; taking ${DEFAULT_FPS}`);
  }
  return DEFAULT_FPS;
}

/** The text from `offset` to a line feed. Throws UnavailableError without one in the next MAX_HEADER bytes. */
function readLine(fd: Fd, offset: number, size: number): string {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(1, Math.min(MAX_HEADER, size - offset))));
  const r = must(preadAt(fd.number, addressOf(bytes), bytes.length, offset), "pread", fd.name);
  const end = bytes.subarray(0, r).indexOf(0x0a);
  if (end < 0)
    throw new UnavailableError(
      `${fd.name}: no line at byte ${offset}; not a YUV4MPEG2 file, or damaged`,
    );
  return new TextDecoder("latin1").decode(bytes.subarray(0, end));
}

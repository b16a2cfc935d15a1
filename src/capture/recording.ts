// A recording as a source, in a loop or once: a raw file, or YUV4MPEG2. Pictures are read into buffers: a mapped file that
// another process cuts would kill this process.
import { statSync } from "node:fs";
import { must } from "../../ffi/errno.ts";
import { Fd, O_RDONLY, preadAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { log } from "../cli/log.ts";
import { needed, SourceEnded, UnavailableError } from "../errors.ts";
import { fourcc } from "../format/formats.ts";
import { fromPlanar } from "../format/planar.ts";
import type { Allocator, FrameBuffer } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";
import { type Fill, PacedSource } from "./paced.ts";
import {
  isFrameLine,
  MAX_HEADER,
  type RecordedPictures,
  type RecordingWish,
  rawPictures,
  readY4mHeader,
  withoutCr,
  Y4M_MAGIC,
} from "./y4m-header.ts";

/** A recording in a file. */
interface Recording extends RecordedPictures {
  /** Byte of the file where picture `n` starts. */
  readonly offsetOf: (n: number) => number;
  readonly count: number;
}

export interface RecordingOptions extends RecordingWish {
  readonly buffers: number;
  readonly allocator?: Allocator | undefined;
  /** Play it once, not in a loop. */
  readonly once?: boolean | undefined;
}

/**
 * Opens a recording. YUV4MPEG2, which is recognised by its first bytes, has size, format and rate in its header. Throws
 * UnavailableError or UsageError.
 */
export function openRecording(path: string, wish: RecordingOptions, name = path): Source {
  using owned = new DisposableStack();
  const fd = owned.use(
    needed(
      () => Fd.open(path, O_RDONLY),
      () => "name a recording that can be read",
    ),
  );
  const size = statSync(`/proc/self/fd/${fd.number}`).size;
  const y4m = startsAsY4m(fd) || /\.y4m$/i.test(name);
  const recording = y4m ? readY4m(fd, size, name, wish) : rawFrames(name, size, wish);
  return new PacedSource({
    name,
    picture: {
      width: recording.width,
      height: recording.height,
      pixelformat: fourcc(recording.format.name),
      sizeimage: recording.sizeimage,
    },
    buffers: wish.buffers,
    fps: recording.fps,
    count: wish.once === true ? recording.count : undefined,
    allocator: wish.allocator,
    prepare: (buffers) => filler(fd, recording, buffers),
    owned: owned.move(),
  });
}

function filler(fd: Fd, recording: Recording, buffers: readonly FrameBuffer[]): Fill {
  const { format, width, height, sizeimage, stored, fromPlanes, count, offsetOf } = recording;
  const planes = fromPlanes ? new Uint8Array(new ArrayBuffer(stored)) : undefined;
  return (index, sequence) => {
    const mapping = buffers[index]?.mapping;
    if (mapping === undefined) return 0;
    const at = planes === undefined ? mapping.address : addressOf(planes);
    readFully(fd, at, stored, offsetOf(sequence % count));
    if (planes !== undefined) fromPlanar(format, width, height, planes, mapping.bytes);
    return sizeimage;
  };
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

function rawFrames(name: string, size: number, wish: RecordingOptions): Recording {
  const pictures = rawPictures(wish);
  const { width, height, sizeimage } = pictures;
  const count = Math.floor(size / sizeimage);
  if (count === 0 || size % sizeimage !== 0) {
    const what = `${inThousands(size)} bytes are no whole number of ${inThousands(sizeimage)}-byte pictures`;
    throw new UnavailableError(
      `${name}: ${what} (${width}x${height} ${wish.format}); give -W -H -f, or a .y4m`,
    );
  }
  return { ...pictures, count, offsetOf: (n) => n * sizeimage };
}

/** "7,521,334" */
const inThousands = (n: number) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

function startsAsY4m(fd: Fd): boolean {
  const bytes = new Uint8Array(new ArrayBuffer(Y4M_MAGIC.length));
  const r = must(preadAt(fd.number, addressOf(bytes), bytes.length, 0), "pread", fd.name);
  return new TextDecoder("latin1").decode(bytes.subarray(0, r)) === Y4M_MAGIC;
}

function readY4m(fd: Fd, size: number, name: string, wish: RecordingOptions): Recording {
  const header = readLine(fd, 0, size);
  if (header === undefined) {
    throw new UnavailableError(`${name}: no line at byte 0; not a YUV4MPEG2 file, or damaged`);
  }
  const pictures = readY4mHeader(name, header, wish);
  const offsets: number[] = [];
  for (let at = header.length + 1; at < size; ) {
    const line = readLine(fd, at, size);
    // A file may be cut anywhere: its whole pictures are played.
    const cutHere = line === undefined && isCutFrameLine(fd, at, size);
    if (!cutHere && (line === undefined || !isFrameLine(withoutCr(line))))
      throw new UnavailableError(`${name}: no FRAME at byte ${at}; the file is damaged`);
    at += (line?.length ?? size) + 1;
    if (at + pictures.stored > size) {
      log.warn(`${name}: the last picture is cut short and not sent`);
      break;
    }
    offsets.push(at);
    at += pictures.stored;
  }
  if (offsets.length === 0)
    throw new UnavailableError(`${name}: no whole picture in it; check the file`);
  return { ...pictures, count: offsets.length, offsetOf: (n) => offsets[n] ?? 0 };
}

/** Whether the file ends in the middle of the line that announces a picture. */
function isCutFrameLine(fd: Fd, at: number, size: number): boolean {
  const word = "FRAME ";
  const bytes = new Uint8Array(new ArrayBuffer(Math.min(word.length, size - at)));
  must(preadAt(fd.number, addressOf(bytes), bytes.length, at), "pread", fd.name);
  const text = new TextDecoder("latin1").decode(bytes);
  return size - at < MAX_HEADER && (word.startsWith(text) || text === "FRAME\r");
}

/** The text from `offset` to a line feed; undefined without one in the next MAX_HEADER bytes. */
function readLine(fd: Fd, offset: number, size: number): string | undefined {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(1, Math.min(MAX_HEADER, size - offset))));
  const r = must(preadAt(fd.number, addressOf(bytes), bytes.length, offset), "pread", fd.name);
  const end = bytes.subarray(0, r).indexOf(0x0a);
  return end < 0 ? undefined : new TextDecoder("latin1").decode(bytes.subarray(0, end));
}

// The memory region that two guests share. By the header at its beginning the receiver checks that it has the sender's
// region. docs/protocol.md. Its contents are not trusted: the sender's guest may change them at any time.
import { readFileSync, statSync } from "node:fs";
import { endOf, F_SEAL_SHRINK, Fd, O_NONBLOCK, O_RDONLY, O_RDWR, sealsOf } from "../../ffi/fd.ts";
import { Mapping, PROT_READ, PROT_WRITE } from "../../ffi/mapping.ts";
import { n64, type Struct, struct, u32, u64 } from "../../ffi/struct.ts";
import { needed, ProtocolError, UnavailableError } from "../errors.ts";
import type { StreamInfo } from "../frame/frame.ts";

/** Offset and length of a devdax mapping are multiples of this. */
export const REGION_UNIT = 2 * 1024 * 1024;
/** Bytes reserved for the header; buffers begin after them. */
export const HEADER_BYTES = 4096;
const MAGIC = 0x4752_5046; // "FPRG"
const VERSION = 1;

export const regionHeader = struct(
  "framepass region header",
  56,
  {
    magic: u32(0),
    version: u32(4),
    generation: u64(8),
    width: u32(16),
    height: u32(20),
    pixelformat: u32(24),
    sizeimage: u32(28),
    buffer_count: u32(32),
    reserved: u32(36),
    used: n64(40), // bytes in use from the beginning on
    checksum: u32(48), // CRC-32 of the 48 bytes before it
    reserved2: u32(52),
  },
  "little",
);

const CHECKED_BYTES = regionHeader.fields.checksum.offset;

/** Rounds up to a multiple of REGION_UNIT. */
export const wholeUnits = (bytes: number) => Math.ceil(bytes / REGION_UNIT) * REGION_UNIT;

/** An open region. */
export interface RegionFile extends Disposable {
  readonly fd: Fd;
  readonly path: string;
  readonly size: number;
}

/**
 * Opens a devdax device, or a memfd sealed against shrinking (by its /proc path). Other files could be truncated while
 * they are mapped. Throws UnavailableError.
 */
export function openRegion(path: string, writing: boolean): RegionFile {
  using owned = new DisposableStack();
  const fd = owned.use(
    needed(
      () => Fd.open(path, (writing ? O_RDWR : O_RDONLY) | O_NONBLOCK), // a named pipe must not block
      () => "name the dax device with --region, /dev/dax0.0 for example",
    ),
  );
  const size = regionSize(fd, path);
  if (size < HEADER_BYTES) {
    throw new UnavailableError(`${path}: ${size} bytes, too small for a region`);
  }
  owned.move();
  return { fd, path, size, [Symbol.dispose]: () => fd[Symbol.dispose]() };
}

function regionSize(fd: Fd, path: string): number {
  const stat = statSync(`/proc/self/fd/${fd.number}`);
  if (stat.isCharacterDevice()) {
    const major = Math.floor(stat.rdev / 256) & 0xfff;
    const minor = (stat.rdev & 0xff) | (Math.floor(stat.rdev / 0x10_0000) << 8);
    const device = `/sys/dev/char/${major}:${minor}`;
    try {
      // Devdax devices, and few others, have this file.
      return Number(readFileSync(`${device}/size`, "utf8"));
    } catch {
      throw new UnavailableError(`${path}: not a dax device; name one with --region`);
    }
  }
  if ((sealsOf(fd.number) & F_SEAL_SHRINK) !== 0 && sealsOf(fd.number) >= 0) {
    return endOf(fd.number);
  }
  throw new UnavailableError(
    `${path}: neither a dax device nor a memfd sealed against shrinking; name a dax device with --region`,
  );
}

/** Maps `length` bytes of a region from `offset` on; for a device both are multiples of REGION_UNIT. Throws UnavailableError. */
export function mapRegion(
  region: RegionFile,
  { offset, length, writing }: { offset: number; length: number; writing: boolean },
): Mapping {
  const protection = writing ? PROT_READ | PROT_WRITE : PROT_READ;
  return needed(
    () => new Mapping(region.fd.number, length, region.path, protection, offset),
    () => "",
  );
}

/** The stream that uses a region, as its header says. */
export interface RegionUse {
  readonly stream: StreamInfo;
  readonly generation: bigint;
  readonly used: number;
}

/** Writes the header of a region. */
export function writeHeader(bytes: Uint8Array<ArrayBuffer>, use: RegionUse): void {
  const header = regionHeader.over(bytes);
  header.$bytes.fill(0);
  header.magic = MAGIC;
  header.version = VERSION;
  header.generation = use.generation;
  header.width = use.stream.width;
  header.height = use.stream.height;
  header.pixelformat = use.stream.pixelformat;
  header.sizeimage = use.stream.sizeimage;
  header.buffer_count = use.stream.bufferCount;
  header.used = use.used;
  header.checksum = Bun.hash.crc32(header.$bytes.subarray(0, CHECKED_BYTES));
}

/** Removes the header: what the region holds is no longer valid. */
export function clearHeader(bytes: Uint8Array<ArrayBuffer>): void {
  regionHeader.over(bytes).$bytes.fill(0);
}

/** Returns whether the header in `bytes` is another one than at this call: then the pictures may be as well. */
export function headerWatch(bytes: Uint8Array<ArrayBuffer>): () => boolean {
  const now = bytes.subarray(0, regionHeader.size);
  const then = now.slice();
  return () => {
    for (let i = 0; i < then.length; i++) if (now[i] !== then[i]) return true;
    return false;
  };
}

/** Copies a region's header and compares it with the stream's hello and handle. Throws ProtocolError. */
export function checkHeader(
  path: string,
  bytes: Uint8Array<ArrayBuffer>,
  stream: StreamInfo,
  generation: bigint,
): void {
  const header: Struct<typeof regionHeader.fields> = regionHeader.alloc();
  header.$bytes.set(bytes.subarray(0, regionHeader.size));
  const refuse = (what: string) => {
    throw new ProtocolError(
      `region ${path}: ${what}; it is not the sender's, give both sides the same host file`,
    );
  };
  if (header.magic !== MAGIC) refuse("no header of a sender in it");
  if (header.version !== VERSION) refuse(`version ${header.version}, must be ${VERSION}`);
  const sum = Bun.hash.crc32(header.$bytes.subarray(0, CHECKED_BYTES));
  if (header.checksum !== sum) refuse("the header's checksum is wrong");
  if (header.generation !== generation) {
    refuse(`generation ${header.generation}, the sender says ${generation}`);
  }
  const there = [header.width, header.height, header.pixelformat, header.sizeimage];
  const said = [stream.width, stream.height, stream.pixelformat, stream.sizeimage];
  const same = there.every((value, i) => value === said[i]);
  if (!same || header.buffer_count !== stream.bufferCount) {
    refuse(`made for ${there.join(", ")}, ${header.buffer_count} buffers`);
  }
}

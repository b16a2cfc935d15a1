// The host file that two guests share as a persistent-memory device. Its info block at byte 4096 makes a guest's kernel
// create /dev/dax0.0 without any tool: drivers/nvdimm/pfn.h of the kernel, struct nd_pfn_sb, mode "device dax".
import { rmSync } from "node:fs";
import { must } from "../../ffi/errno.ts";
import { Fd, O_CREAT, O_EXCL, O_RDWR, pwriteAt, reserve } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { bytes, n64, struct, u16, u32, u64, words } from "../../ffi/struct.ts";
import { needed } from "../errors.ts";
import { REGION_UNIT } from "./region.ts";

const BLOCK_OFFSET = 4096;
const BLOCK_BYTES = 4096;
const PAGE_BYTES = 4096;
const SIGNATURE = "NVDIMM_DAX_INFO\0";
const MODE_RAM = 1;

export const infoBlock = struct(
  "struct nd_pfn_sb",
  BLOCK_BYTES,
  {
    signature: bytes(0, 16),
    uuid: bytes(16, 16),
    flags: u32(48),
    version_major: u16(52),
    version_minor: u16(54),
    dataoff: n64(56),
    npfns: n64(64),
    mode: u32(72),
    start_pad: u32(76),
    end_trunc: u32(80),
    align: u32(84),
    page_size: u32(88),
    page_struct_size: u16(92),
    checksum: u64(4088),
    words: words(0, BLOCK_BYTES / 4), // all of it, for the checksum
  },
  "little",
);

/** Smallest file: 2 MiB for the info block and 2 MiB for the region. */
export const LEAST_FILE = 2 * REGION_UNIT;

/** The info block of a file of `size` bytes, a multiple of 2 MiB: everything from byte 2 MiB on is the region. */
export function makeInfoBlock(size: number, uuid: Uint8Array<ArrayBuffer>) {
  const block = infoBlock.alloc();
  block.signature = new Uint8Array(new TextEncoder().encode(SIGNATURE).slice().buffer);
  block.uuid = uuid;
  block.version_major = 1;
  block.version_minor = 4;
  block.dataoff = REGION_UNIT;
  block.npfns = (size - REGION_UNIT) / PAGE_BYTES;
  block.mode = MODE_RAM;
  block.align = REGION_UNIT;
  block.page_size = PAGE_BYTES;
  block.page_struct_size = 64;
  block.checksum = fletcher64(block.words);
  return block;
}

/** The kernel's nd_fletcher64: two running sums over 32-bit words. */
function fletcher64(of: { readonly length: number; get(index: number): number }): bigint {
  let low = 0;
  let high = 0n;
  for (let i = 0; i < of.length; i++) {
    low = (low + of.get(i)) % 0x1_0000_0000;
    high += BigInt(low);
  }
  return ((high & 0xffff_ffffn) << 32n) | BigInt(low);
}

const openAdvice: Readonly<Record<string, string>> = {
  EEXIST: "remove it first, or choose another name",
  ENOENT: "make the folder first, or choose another path",
  EACCES: "choose a folder you may write to, or run as root",
};

/**
 * Creates the file at `path` and allocates all of it on disk: a guest that touches a page without disk space would be
 * killed. An existing file is not changed; on failure the new file is removed. Throws UnavailableError.
 */
export function createShareFile(path: string, size: number): void {
  using fd = needed(
    () => Fd.open(path, O_RDWR | O_CREAT | O_EXCL, 0o600),
    ({ code }) => openAdvice[code] ?? "choose another path",
  );
  using unfinished = new DisposableStack();
  unfinished.defer(() => rmSync(path));
  const uuid = crypto.getRandomValues(new Uint8Array(16));
  const block = makeInfoBlock(size, uuid).$bytes;
  needed(
    () => {
      must(reserve(fd.number, size), "fallocate", path);
      must(pwriteAt(fd.number, addressOf(block), block.length, BLOCK_OFFSET), "pwrite", path);
    },
    () => "choose a place with more room, or a smaller --size",
  );
  unfinished.move();
}

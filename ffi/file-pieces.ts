// Parts of files that are to be one stretch of memory: what pages can show side by side, and what they cannot.
import { fstatSync, statfsSync } from "node:fs";
import { pageSize } from "./mapping.ts";
import { UnfitFile } from "./shared-region.ts";

/** A part of an open file. */
export interface FilePiece {
  readonly fd: number;
  readonly offset: number;
  readonly length: number;
}

/** f_type of hugetlbfs: <linux/magic.h> */
const HUGETLBFS_MAGIC = 0x9584_58f6;
/**
 * The pieces with neighbours in a file joined. Each begins at a page, and each but the last ends at one. Throws UnfitFile when
 * they do not, for what is no file or has huge pages, and for bytes that a file does not have.
 */
export function joined(pieces: readonly FilePiece[]): readonly FilePiece[] {
  const runs: { fd: number; offset: number; length: number }[] = [];
  let size = 0;
  for (const { fd, offset, length } of pieces) {
    const last = runs.at(-1);
    if (last?.fd !== fd) size = sizeOf(fd);
    if (
      !Number.isSafeInteger(offset + length) ||
      offset < 0 ||
      length < 1 ||
      offset + length > size
    )
      throw new UnfitFile("a piece is not in its file");
    if (last?.fd === fd && last.offset + last.length === offset) {
      last.length += length;
      continue;
    }
    if (offset % pageSize !== 0) throw new UnfitFile("a piece does not begin at a page");
    if (last !== undefined && last.length % pageSize !== 0)
      throw new UnfitFile("a piece does not end at a page");
    runs.push({ fd, offset, length });
  }
  if (runs.length === 0) throw new UnfitFile("there are no pieces");
  return runs;
}

/** Bytes of whole pages that hold `length` bytes. */
export function wholePages(length: number): number {
  return Math.ceil(length / pageSize) * pageSize;
}

function sizeOf(fd: number): number {
  const file = fstatSync(fd);
  if (!file.isFile()) throw new UnfitFile("the memory is no file");
  // A tmpfs may have large blocks, too: it has huge pages where it can, and maps parts of them all the same.
  if (file.blksize > pageSize && statfsSync(`/proc/self/fd/${fd}`).type === HUGETLBFS_MAGIC)
    throw new UnfitFile("the memory has huge pages");
  return file.size;
}

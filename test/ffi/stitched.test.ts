// Parts of files side by side: what is mapped, what is refused, and that nothing stays behind or lies outside.
import { expect, test } from "bun:test";
import { AddressRange } from "../../ffi/address-range.ts";
import { errno, result } from "../../ffi/errno.ts";
import { Fd, O_RDONLY } from "../../ffi/fd.ts";
import { type FilePiece, joined } from "../../ffi/file-pieces.ts";
import { addressOf, cString, libc, viewOf } from "../../ffi/libc.ts";
import { Mapping, pageSize } from "../../ffi/mapping.ts";
import { socketPair } from "../../ffi/socket.ts";
import { GUARDS, StitchedMapping } from "../../ffi/stitched-mapping.ts";
import { leftBehind, mappingsOf, nothing } from "../support/resources.ts";

const PAGES = 16;
const NAME = "stitched-file";

/** A file whose byte i of page p is p * 16 + i % 16. */
function file(bytes = PAGES * pageSize): Fd {
  const fd = Fd.memory(NAME, bytes);
  using all = new Mapping(fd.number, bytes, NAME);
  for (let i = 0; i < bytes; i++) all.bytes[i] = (Math.floor(i / pageSize) * 16 + (i % 16)) & 0xff;
  return fd;
}

const page = (fd: Fd, number: number, count = 1): FilePiece => ({
  fd: fd.number,
  offset: number * pageSize,
  length: count * pageSize,
});

/** The page of the file that each page of a stretch shows. */
function shown({ address, length }: StitchedMapping): number[] {
  return Array.from({ length: Math.ceil(length / pageSize) }, (_, i) => {
    const [first = 0] = viewOf(address + i * pageSize, 1);
    return first >> 4;
  });
}

test("pieces in any order are one stretch, and what is written there is in the file", async () => {
  const left = await leftBehind(NAME, () => {
    using fd = file();
    using other = file();
    using stretch = new StitchedMapping([
      page(fd, 9),
      page(other, 3, 2),
      page(fd, 0),
      page(fd, 15),
    ]);
    expect(shown(stretch)).toEqual([9, 3, 4, 0, 15]);
    expect([stretch.length, stretch.mappings]).toEqual([5 * pageSize, 4 + GUARDS]);
    viewOf(stretch.address + 3 * pageSize - 1, 2).set([0xaa, 0xbb]);
    using all = new Mapping(fd.number, pageSize, NAME);
    using others = new Mapping(other.number, 5 * pageSize, NAME);
    expect([others.bytes[5 * pageSize - 1], all.bytes[0]]).toEqual([0xaa, 0xbb]);
  });
  expect(left).toEqual(nothing);
});

test("neighbours in a file are one mapping; pieces that overlap or come twice show the same bytes", () => {
  using fd = file();
  using stretch = new StitchedMapping([page(fd, 2), page(fd, 3), page(fd, 3, 2), page(fd, 3)]);
  expect(shown(stretch)).toEqual([2, 3, 3, 4, 3]);
  expect(stretch.mappings).toBe(3 + GUARDS);
  viewOf(stretch.address + pageSize, 1)[0] = 0xf0;
  expect(shown(stretch)).toEqual([2, 15, 15, 4, 15]);
});

test("the last piece may end anywhere, also where the file ends in the middle of a page", () => {
  using fd = file(3 * pageSize - 100);
  const piece = { fd: fd.number, offset: 2 * pageSize, length: pageSize - 100 };
  using stretch = new StitchedMapping([page(fd, 1), piece]);
  expect([stretch.length, shown(stretch)]).toEqual([2 * pageSize - 100, [1, 2]]);
});

const FAR = Number.MAX_SAFE_INTEGER;
const bad: readonly { what: string; pieces: (fd: Fd) => FilePiece[]; reason: string }[] = [
  { what: "no pieces", pieces: () => [], reason: "there are no pieces" },
  {
    what: "a piece that begins inside a page",
    pieces: (fd) => [page(fd, 0), { fd: fd.number, offset: pageSize + 64, length: pageSize }],
    reason: "does not begin at a page",
  },
  {
    what: "an inner piece that ends inside a page",
    pieces: (fd) => [{ fd: fd.number, offset: 0, length: 100 }, page(fd, 5)],
    reason: "does not end at a page",
  },
  {
    what: "an empty piece",
    pieces: (fd) => [{ fd: fd.number, offset: 0, length: 0 }],
    reason: "not in its file",
  },
  {
    what: "a piece that ends behind the file",
    pieces: (fd) => [page(fd, PAGES - 1), page(fd, PAGES - 1, 2)],
    reason: "not in its file",
  },
  {
    what: "a piece behind the file",
    pieces: (fd) => [page(fd, PAGES)],
    reason: "not in its file",
  },
  {
    what: "an offset and a length that wrap",
    pieces: (fd) => [{ fd: fd.number, offset: FAR - (FAR % pageSize), length: 2 * pageSize }],
    reason: "not in its file",
  },
  {
    what: "a negative offset",
    pieces: (fd) => [{ fd: fd.number, offset: -pageSize, length: pageSize }],
    reason: "not in its file",
  },
];
test.each(bad)("$what: refused, and nothing is mapped", async ({ pieces, reason }) => {
  const left = await leftBehind(NAME, () => {
    using fd = file();
    const before = mappingsOf(NAME);
    expect(() => new StitchedMapping(pieces(fd))).toThrow(reason);
    expect(mappingsOf(NAME)).toBe(before);
  });
  expect(left).toEqual(nothing);
});

test("what is no file is refused", () => {
  const [a, b] = socketPair();
  using _a = a;
  using _b = b;
  using zero = Fd.open("/dev/zero", O_RDONLY);
  for (const { number } of [a, zero])
    expect(() => joined([{ fd: number, offset: 0, length: pageSize }])).toThrow("is no file");
});

test("huge pages are refused: their parts cannot be mapped side by side", () => {
  const HUGE_2_MIB = (21 << 26) | 4 | 1; // MFD_HUGE_2MB | MFD_HUGETLB | MFD_CLOEXEC: <linux/memfd.h>
  const name = cString(NAME);
  const made = result(libc.memfd_create(addressOf(name), HUGE_2_MIB));
  if (made < 0) return; // a kernel without huge pages
  using fd = new Fd(made, NAME);
  libc.ftruncate(fd.number, 1 << 21);
  expect(() => joined([page(fd, 0)])).toThrow("huge pages");
});

test("a piece that cannot be mapped takes those before it with it", async () => {
  const left = await leftBehind(NAME, () => {
    using fd = file();
    using readOnly = Fd.open(`/proc/self/fd/${fd.number}`, O_RDONLY);
    const before = mappingsOf(NAME);
    expect(() => new StitchedMapping([page(fd, 1), page(fd, 3), page(readOnly, 5)])).toThrow(
      "mmap 3 pieces of memory: EACCES",
    );
    expect(mappingsOf(NAME)).toBe(before);
  });
  expect(left).toEqual(nothing);
});

test("a fixed mapping outside the range that was reserved is refused and changes nothing", () => {
  using fd = file();
  using range = new AddressRange(4 * pageSize, "range");
  const { address: at } = range;
  const end = at + 4 * pageSize;
  const maps = mappingsOf(NAME);
  for (const [address, length] of [
    [at - pageSize, pageSize],
    [end - pageSize, 2 * pageSize],
    [end, pageSize],
    [at, 5 * pageSize],
    [at, 0],
    [at, -pageSize],
    [at, Number.NaN],
    [at + 0.5, pageSize],
    [at, FAR],
    [0, pageSize],
  ] as const)
    expect(() => range.map(address, length, fd.number, 0)).toThrow(RangeError);
  expect(mappingsOf(NAME)).toBe(maps);
  expect(range.map(at, pageSize, fd.number, 7)).toBe(-errno.EINVAL);
  expect(range.map(at, pageSize, fd.number, 0)).toBe(0);
  range[Symbol.dispose]();
  expect(() => range.map(at, pageSize, fd.number, 0)).toThrow("gone");
  range[Symbol.dispose]();
});

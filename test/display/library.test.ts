import { FFIType } from "bun:ffi";
import { expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LibraryError, openFirst, openLibrary } from "../../ffi/library.ts";
import { needLibrary, UnavailableError } from "../../src/errors.ts";
import { glyphOf, isPrintable } from "../../src/format/font.ts";

const none = {};

test("a missing library is one line that names its Debian package, status 3", () => {
  const use = () => needLibrary(() => openLibrary("libframepass-none.so.3", none), "libnone3");
  expect(use).toThrow(UnavailableError);
  expect(use).toThrow(/^libframepass-none\.so\.3 not found; install libnone3$/);
});

test("a library that is too old names the Debian package of which a newer one is needed", () => {
  const unknown = { no_such_function: { args: [], returns: FFIType.i32 } };
  expect(() => needLibrary(() => openLibrary("libc.so.6", unknown), "libc6")).toThrow(
    /^libc\.so\.6 is too old: it has no no_such_function; install a newer libc6$/,
  );
});

test("a library in the current directory is not loaded", () => {
  const work = mkdtempSync(join(tmpdir(), "framepass-library-"));
  const before = process.cwd();
  try {
    const [path = ""] = /\/\S*libc\.so\.6$/m.exec(readFileSync("/proc/self/maps", "utf8")) ?? [];
    copyFileSync(path, join(work, "libframepass-here.so.1"));
    process.chdir(work);
    expect(() => openLibrary("libframepass-here.so.1", none)).toThrow(LibraryError);
  } finally {
    process.chdir(before);
    rmSync(work, { recursive: true });
  }
});

test("a function the library lacks is named", () => {
  const unknown = { no_such_function: { args: [], returns: FFIType.i32 } };
  expect(() => openLibrary("libc.so.6", unknown)).toThrow(
    /^libc\.so\.6 is too old: it has no no_such_function$/,
  );
});

/** A function that libm has and libc has not. */
const ilogb = { ilogb: { args: [FFIType.f64], returns: FFIType.i32 } };
const firstWithIlogb = (...sonames: readonly string[]) =>
  openFirst("libtest", sonames, (soname) => openLibrary(soname, ilogb));

test("a newer library that lacks a function, or is no library, does not hide an older one that works", () => {
  const work = mkdtempSync(join(tmpdir(), "framepass-library-"));
  try {
    const noLibrary = join(work, "libtest.so.2");
    writeFileSync(noLibrary, "this is no library, but a file with its name");
    const found = firstWithIlogb("libframepass-none.so.3", noLibrary, "libc.so.6", "libm.so.6");
    expect(found.ilogb(8)).toBe(3);
  } finally {
    rmSync(work, { recursive: true });
  }
});

test("where no version of a library works, the error names what was tried and why each does not work", () => {
  const use = () => needLibrary(() => firstWithIlogb("libnone.so.3", "libc.so.6"), "libtest6");
  expect(use).toThrow(
    "no libtest can be used: libc.so.6 is too old: it has no ilogb (tried libnone.so.3, libc.so.6); install a newer libtest6",
  );
});

test("where no version of a library is installed, the error names what was tried", () => {
  const use = () => needLibrary(() => firstWithIlogb("libnone.so.3", "libnone.so.2"), "libnone3");
  expect(use).toThrow("libtest not found (tried libnone.so.3, libnone.so.2); install libnone3");
});

test("the font has every character that the tools write, and no two look alike", () => {
  const words =
    "waiting for a sender 0123456789 fps, shown: [fd99::1]:5000 unix:/tmp/x_y.sock 1.5% (*)";
  expect(isPrintable(words)).toBe(true);
  const drawn = new Map<string, string>();
  for (const character of new Set(words.toUpperCase())) {
    const ink = glyphOf(character);
    let picture = "";
    for (let y = 0; y < 7; y++) for (let x = 0; x < 5; x++) picture += ink(x, y) ? "#" : ".";
    expect(drawn.get(picture)).toBeUndefined();
    drawn.set(picture, character);
  }
});

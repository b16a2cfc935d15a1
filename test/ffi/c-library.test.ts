import { expect, test } from "bun:test";
import { cLibraryIn } from "../../ffi/c-library.ts";

const mapped = (...paths: readonly string[]) =>
  ["55d0c0200000-55d0c4a00000 r--p 00000000 fe:00 131 /dist/framepass", ...paths]
    .map((path) => (path.includes(" ") ? path : `7f3a1c000000-7f3a1c022000 r-xp 0 fe:00 9 ${path}`))
    .concat("7ffd1a5e0000-7ffd1a601000 rw-p 00000000 00:00 0 [stack]", "")
    .join("\n");

test("glibc from 2.34 is one file with dlopen in it, even where libdl.so.2 is mapped too", () => {
  const libc = "/lib/x86_64-linux-gnu/libc.so.6";
  expect(cLibraryIn(mapped("/lib/x86_64-linux-gnu/libdl.so.2", libc))).toEqual({ libc, dl: libc });
});

test("glibc before 2.34 is mapped by its files' names, and dlopen is in libdl", () => {
  const libc = "/usr/lib/aarch64-linux-gnu/libc-2.31.so";
  const dl = "/usr/lib/aarch64-linux-gnu/libdl-2.31.so";
  expect(cLibraryIn(mapped("/usr/lib/aarch64-linux-gnu/libcrypt-2.31.so", dl, libc))).toEqual({
    libc,
    dl,
  });
});

test.each(["/lib/ld-musl-x86_64.so.1", "/lib/libc.musl-aarch64.so.1"])(
  "musl is one file: %s",
  (libc) => {
    expect(cLibraryIn(mapped(libc))).toEqual({ libc, dl: libc });
  },
);

test("a map without a C library is an error that says what to look at", () => {
  expect(() => cLibraryIn(mapped("/tmp/not-libc-2.31.so", "/lib/libcap.so.2"))).toThrow(
    "no C library in /proc/self/maps; mount /proc",
  );
});

test("the library of this process is found", async () => {
  const { libc, dl } = cLibraryIn(await Bun.file("/proc/self/maps").text());
  expect([await Bun.file(libc).exists(), await Bun.file(dl).exists()]).toEqual([true, true]);
});

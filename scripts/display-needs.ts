// What windows need of Debian, for the tests, the benchmarks and the checks: a screen in memory, SDL and a JPEG
// decoder, the last two loaded by the tools at run time.
import type { DebianNeed } from "./ensure.ts";

const triplet = process.arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
/** Where Debian keeps a shared library. */
export const library = (file: string) => `/usr/lib/${triplet}/${file}`;

export const displayNeeds: readonly DebianNeed[] = [
  { package: "xvfb", provides: "Xvfb" },
  { package: "libsdl2-2.0-0", provides: library("libSDL2-2.0.so.0") },
  { package: "libturbojpeg0", provides: library("libturbojpeg.so.0") },
];

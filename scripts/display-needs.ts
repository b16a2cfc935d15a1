// The Debian packages that windows need in tests, benchmarks and checks: a screen in memory, SDL and a JPEG
// decoder. The tools load SDL and the decoder at run time.
import type { DebianNeed } from "./ensure.ts";

const triplet = process.arch === "x64" ? "x86_64-linux-gnu" : "aarch64-linux-gnu";
/** Where Debian keeps a shared library. */
export const library = (file: string) => `/usr/lib/${triplet}/${file}`;

export const displayNeeds: readonly DebianNeed[] = [
  { package: "xvfb", provides: "Xvfb" },
  { package: "libsdl2-2.0-0", provides: library("libSDL2-2.0.so.0") },
  { package: "libturbojpeg0", provides: library("libturbojpeg.so.0") },
];

/** What the test of the page of --metrics opens it in. */
export const browserNeeds: readonly DebianNeed[] = [{ package: "chromium", provides: "chromium" }];

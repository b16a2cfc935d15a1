// What the C compiler makes of headers, for tests that compare our tables with them.
import { writeFileSync } from "node:fs";
import { TempDir } from "./tool.ts";

/**
 * The values of C expressions, as decimal numbers. `includes` are headers with their brackets or quotes, `flags` are words for
 * gcc. Throws with the compiler's words.
 */
export function askCompiler(
  includes: readonly string[],
  questions: readonly string[],
  flags: readonly string[] = [],
): string[] {
  using temp = new TempDir();
  const [source, program] = [temp.file("ask.c"), temp.file("ask")];
  const standard = ["stdio.h", "stddef.h", "stdint.h", "sys/ioctl.h"].map((name) => `<${name}>`);
  const lines = [
    "#define _GNU_SOURCE",
    ...[...standard, ...includes].map((header) => `#include ${header}`),
    "int main(void) {",
    ...questions.map((q) => `  printf("%llu\\n", (unsigned long long)(${q}));`),
    "  return 0;",
    "}",
    "",
  ];
  writeFileSync(source, lines.join("\n"));
  const build = Bun.spawnSync(["gcc", "-Wall", ...flags, "-o", program, source]);
  const words = build.stderr.toString();
  if (build.exitCode !== 0 || (flags.includes("-Werror") && words !== "")) throw new Error(words);
  return Bun.spawnSync([program]).stdout.toString().trim().split("\n");
}

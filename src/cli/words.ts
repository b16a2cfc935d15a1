// The words of the command line as the kernel has them. The runtime replaces bytes that are not UTF-8, and a file of the
// changed name would be opened or made.
import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";

const REPLACEMENT = "\ufffd";

/** Throws UsageError when a word is not UTF-8, because it would not be used as it was given. */
export function checkWords(argv: readonly string[]): void {
  if (!argv.some((word) => word.includes(REPLACEMENT))) return;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const bytes = readFileSync("/proc/self/cmdline");
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const word = bytes.subarray(at, end < 0 ? bytes.length : end);
    try {
      decoder.decode(word);
    } catch {
      const shown = word.toString("latin1").replace(/[^\x20-\x7e]/g, escaped);
      throw new UsageError(`"${shown}" is not UTF-8; rename the file, or name it by a link`);
    }
    at += word.length + 1;
  }
}

const escaped = (c: string) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;

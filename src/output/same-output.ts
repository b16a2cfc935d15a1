// Whether two names of --output are one file, pipe or camera: by what the kernel says about it, not by its spelling.
import { fstatSync, lstatSync, readlinkSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { isVideoStat } from "./video-stat.ts";

const STDOUT = 1;

/** A text that is the same for two names of one output. Undefined for what may be written twice, /dev/null for example. */
function identityOf(path: string, look: Look): string | undefined {
  const stat = look(path);
  if (stat === undefined) return realPath(path);
  if (isVideoStat(stat)) return `video ${stat.rdev}`;
  if (stat.isCharacterDevice() || stat.isDirectory()) return undefined;
  return `file ${stat.dev}:${stat.ino}`;
}

/** What the kernel says about a path, "-" for stdout. Undefined when there is nothing yet, or nothing that may be seen. */
type Look = (path: string) => Stats | undefined;

function statOf(path: string): Stats | undefined {
  try {
    return path === "-" ? fstatSync(STDOUT) : statSync(path);
  } catch {
    return undefined;
  }
}

/** As many links as the kernel follows. */
const MOST_LINKS = 40;

/**
 * The path of a file that does not exist yet, with all links resolved, also one that leads to it; undefined when the folder does
 * not exist.
 */
function realPath(path: string, links = MOST_LINKS): string | undefined {
  try {
    const folder = realpathSync(dirname(path));
    const whole = join(folder, basename(path));
    if (lstatSync(whole, { throwIfNoEntry: false })?.isSymbolicLink() !== true) return whole;
    return links === 0 ? undefined : realPath(resolve(folder, readlinkSync(whole)), links - 1);
  } catch {
    return undefined;
  }
}

/** Throws UsageError when two of `paths` are one output, or when one is stdout, which `json` writes records to. */
export function checkOutputsDiffer(
  paths: readonly string[],
  json: boolean,
  look: Look = statOf,
): void {
  const seen = new Map<string, string>();
  if (json && paths.includes("-")) throw new UsageError("--json and --output - both want stdout");
  const stdout = json ? identityOf("-", look) : undefined;
  for (const [i, path] of paths.entries()) {
    if (paths.indexOf(path) !== i) throw new UsageError(`--output ${path} is given twice`);
    const identity = identityOf(path, look);
    if (identity === undefined) continue;
    if (identity === stdout) throw new UsageError(`--json and --output ${path} both want stdout`);
    const other = seen.get(identity);
    if (other !== undefined)
      throw new UsageError(`--output ${other} and --output ${path} are the same`);
    seen.set(identity, path);
  }
}

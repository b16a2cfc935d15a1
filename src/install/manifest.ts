// The list of what `framepass install` wrote, with sums: a file that is not in it, or that has changed since, is not touched.
// A mark inside each file would not do: the executable and links have no place for one, and an edited file would keep it.
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { join, normalize } from "node:path";
import { UnavailableError } from "../errors.ts";

/** Where it is, relative to the prefix. */
export const MANIFEST = "share/framepass/manifest";

/** What is there instead when the files belong to a package of the system, which has a list of its own. */
export const PACKAGED = "These files belong to a package of the system, which also removes them.\n";

export interface Manifest {
  /** The sums of each entry by its path, relative to the prefix. While an installation runs: before and after it. */
  readonly sums: ReadonlyMap<string, ReadonlySet<string>>;
  /** The folders that were made, the outermost first; "." is the prefix. */
  readonly folders: readonly string[];
}

const CHUNK_BYTES = 1 << 20;

/** The sum of the file's or link's content. Undefined where there is none of these two. Throws system errors. */
export function sumOf(path: string): string | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink()) return linkSum(readlinkSync(path));
  return stat?.isFile() ? fileSum(path) : undefined;
}

export const linkSum = (target: string): string => textSum(`link to ${target}`);
export const textSum = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The sum of a file. */
export function fileSum(path: string): string {
  const hash = createHash("sha256");
  readChunks(path, (chunk) => hash.update(chunk));
  return hash.digest("hex");
}

/** Reads a file; `take` must be done with a chunk when it returns. */
export function readChunks(path: string, take: (chunk: Uint8Array) => unknown): void {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const fd = openSync(path, "r");
  try {
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      take(chunk.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
}

/**
 * The manifest under `prefix`; undefined where there is none. Throws UnavailableError when it cannot be read, and when the files
 * belong to a package.
 */
export function readManifest(prefix: string): Manifest | undefined {
  const path = join(prefix, MANIFEST);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const sums = new Map<string, Set<string>>();
  const folders: string[] = [];
  const text = stat.isFile() ? readFileSync(path, "utf8") : "";
  if (text === PACKAGED)
    throw new UnavailableError(
      `${path}: what is here belongs to a package: use the package manager, or name another --prefix`,
    );
  const lines = text.trim().split("\n");
  for (const line of lines) {
    const [, sum, name = ""] = /^([0-9a-f]{64}|folder) {2}(\S+)$/.exec(line) ?? [];
    const inside = name !== "" && normalize(name) === name && !/^(?:\/|\.\.)/.test(name);
    if (sum === undefined || !inside)
      throw new UnavailableError(`${path} is damaged; remove it and what it lists yourself`);
    if (sum === "folder") folders.push(name);
    else sums.set(name, (sums.get(name) ?? new Set()).add(sum));
  }
  return { sums, folders };
}

export const manifestText = ({ sums, folders }: Manifest): string =>
  [
    ...[...sums].flatMap(([path, each]) => [...each].map((sum) => `${sum}  ${path}\n`)),
    ...folders.map((path) => `folder  ${path}\n`),
  ].join("");

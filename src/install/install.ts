// `framepass install`: checks every place first, then writes everything, or nothing.
import { lstatSync, rmSync } from "node:fs";
import { join } from "node:path";
import { UnavailableError } from "../errors.ts";
import type { Entry } from "./layout.ts";
import {
  fileSum,
  linkSum,
  MANIFEST,
  type Manifest,
  manifestText,
  PACKAGED,
  readManifest,
  sumOf,
  textSum,
} from "./manifest.ts";
import { missingFolders, modes, Staging } from "./staging.ts";

/** What happens to one path. */
export interface Change {
  readonly path: string;
  readonly action: "write" | "keep" | "remove";
}

/** What an installation changes, and the manifest that was there. */
export interface Plan {
  readonly prefix: string;
  readonly entries: readonly Entry[];
  readonly packaged: boolean;
  /** The sum of each entry by its path. */
  readonly sums: ReadonlyMap<string, string>;
  readonly before: Manifest | undefined;
  readonly changes: readonly Change[];
}

/**
 * Looks at each place. Throws UnavailableError when something is there that framepass did not write. With `packaged` the files are
 * for a package: a mark of that stands in the place of the manifest.
 */
export function planInstallation(
  prefix: string,
  entries: readonly Entry[],
  packaged = false,
): Plan {
  const before = packaged ? undefined : readManifest(prefix);
  const sums = new Map(entries.map((entry) => [entry.path, sumFor(entry)]));
  const changes: Change[] = entries.map((entry) => {
    const { path } = entry;
    const wanted = { sum: sums.get(path) ?? "", mode: modeFor(entry) };
    return { path, action: actionFor(join(prefix, path), before?.sums.get(path), wanted) };
  });
  // What an earlier installation wrote and this one does not, links for example, is removed.
  const planned = new Set(entries.map(({ path }) => path));
  const gone = [...(before?.sums ?? [])].filter(([path]) => !planned.has(path));
  const removed = removals(prefix, gone);
  return { prefix, entries, packaged, sums, before, changes: [...changes, ...removed] };
}

/** The paths of these that are there. Throws UnavailableError when one has changed. */
export function removals(
  prefix: string,
  entries: Iterable<readonly [path: string, sums: ReadonlySet<string>]>,
): Change[] {
  return [...entries].flatMap(([path, sums]) => {
    const whole = join(prefix, path);
    if (lstatSync(whole, { throwIfNoEntry: false }) === undefined) return [];
    if (!sums.has(sumOf(whole) ?? "")) throw notOurs(whole, true);
    return [{ path, action: "remove" as const }];
  });
}

function sumFor(entry: Entry): string {
  if (entry.kind === "link") return linkSum(entry.target);
  return entry.kind === "text" ? textSum(entry.text) : fileSum("/proc/self/exe");
}

/** The permissions of a file; undefined for a link, which has none. */
const modeFor = ({ kind }: Entry): number | undefined =>
  kind === "link" ? undefined : modes[kind];

function actionFor(
  path: string,
  known: ReadonlySet<string> | undefined,
  wanted: { readonly sum: string; readonly mode: number | undefined },
): "write" | "keep" {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "write";
  const found = sumOf(path);
  if (found === wanted.sum) {
    const isRight = wanted.mode === undefined || (stat.mode & 0o7777) === wanted.mode;
    return isRight ? "keep" : "write";
  }
  if (found !== undefined && known?.has(found)) return "write";
  throw notOurs(path, known !== undefined);
}

/** The error for a path that framepass did not write, or that has changed since. */
function notOurs(path: string, listed: boolean): UnavailableError {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  const kind = stat?.isSymbolicLink() ? "link" : stat?.isDirectory() ? "folder" : "file";
  if (listed)
    return new UnavailableError(
      `${path}: this ${kind} has changed since framepass install wrote it; move it away`,
    );
  return new UnavailableError(
    `${path}: framepass install did not write this ${kind}; move it away, or name another --prefix`,
  );
}

/**
 * Carries a plan out. Throws system errors; then nothing new is left. When the process is killed at any point, the manifest
 * knows everything that is there, so that any version can install over it or remove it.
 */
export function install({ prefix, entries, packaged, sums, before, changes }: Plan): void {
  using staging = new Staging(prefix);
  const after = new Map([...sums].map(([path, sum]) => [path, new Set([sum])]));
  const both = new Map(before?.sums);
  for (const [path, sum] of after) both.set(path, (both.get(path) ?? new Set()).union(sum));
  const missing = missingFolders(prefix, [MANIFEST, ...sums.keys()]);
  const folders = [...new Set([...(before?.folders ?? []), ...missing])];
  const textOf = (of: Manifest["sums"]) =>
    packaged ? PACKAGED : manifestText({ sums: of, folders });
  staging.addManifest(textOf(both))();
  for (const [index, entry] of entries.entries())
    if (changes[index]?.action === "write") staging.add(entry);
  const complete = staging.addManifest(textOf(after));
  staging.commit();
  for (const { path, action } of changes)
    if (action === "remove") rmSync(join(prefix, path), { force: true });
  complete();
}

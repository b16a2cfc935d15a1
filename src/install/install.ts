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
import { Staging } from "./staging.ts";

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
  const changes: Change[] = entries.map((entry) => {
    const known = before?.sums.get(entry.path);
    return { path: entry.path, action: actionFor(join(prefix, entry.path), known, sumFor(entry)) };
  });
  // What an earlier installation wrote and this one does not, links for example, is removed.
  const planned = new Set(entries.map(({ path }) => path));
  const gone = [...(before?.sums ?? [])].filter(([path]) => !planned.has(path));
  return { prefix, entries, packaged, before, changes: [...changes, ...removals(prefix, gone)] };
}

/** The paths of these that are there. Throws UnavailableError when one has changed. */
export function removals(
  prefix: string,
  entries: Iterable<readonly [path: string, sum: string]>,
): Change[] {
  return [...entries].flatMap(([path, sum]) => {
    const whole = join(prefix, path);
    if (lstatSync(whole, { throwIfNoEntry: false }) === undefined) return [];
    if (sumOf(whole) !== sum) throw notOurs(whole, true);
    return [{ path, action: "remove" as const }];
  });
}

function sumFor(entry: Entry): string {
  if (entry.kind === "link") return linkSum(entry.target);
  return entry.kind === "text" ? textSum(entry.text) : fileSum("/proc/self/exe");
}

function actionFor(path: string, known: string | undefined, wanted: string): "write" | "keep" {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return "write";
  const found = sumOf(path);
  if (found === wanted) return "keep";
  if (found !== undefined && found === known) return "write";
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

/** Carries a plan out. Throws system errors; then nothing new is left. */
export function install({ prefix, entries, packaged, before, changes }: Plan): void {
  using staging = new Staging(prefix);
  const sums = new Map<string, string>();
  for (const [index, entry] of entries.entries()) {
    const kept = changes[index]?.action === "keep";
    sums.set(entry.path, kept ? sumFor(entry) : staging.add(entry));
  }
  staging.makeFolderOf(MANIFEST); // now all folders that are made are known
  const folders = [...new Set([...(before?.folders ?? []), ...staging.folders])];
  const text = packaged ? PACKAGED : manifestText({ sums, folders });
  staging.add({ path: MANIFEST, kind: "text", text });
  staging.commit();
  for (const { path, action } of changes)
    if (action === "remove") rmSync(join(prefix, path), { force: true });
}

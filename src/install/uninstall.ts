// `framepass uninstall`: removes what the manifest lists, if nothing of it has changed.
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { UnavailableError } from "../errors.ts";
import { type Change, removals } from "./install.ts";
import { MANIFEST, type Manifest, readManifest } from "./manifest.ts";
import { removeEmpty } from "./staging.ts";
import { removeLeftovers } from "./temporary.ts";

export interface Removal {
  readonly prefix: string;
  readonly manifest: Manifest;
  readonly changes: readonly Change[];
}

/** Looks at each path. Throws UnavailableError without an installation, or when a file has changed. */
export function planRemoval(prefix: string): Removal {
  const manifest = readManifest(prefix);
  if (manifest === undefined)
    throw new UnavailableError(
      `${join(prefix, MANIFEST)} is not there: framepass is not installed under ${prefix}; name its --prefix`,
    );
  return { prefix, manifest, changes: removals(prefix, manifest.sums) };
}

/** Carries it out. The manifest is removed last, so that a removal that failed can be repeated. Throws system errors. */
export function uninstall({ prefix, manifest, changes }: Removal): void {
  for (const { path } of changes) rmSync(join(prefix, path));
  const used = new Set(
    [MANIFEST, ...manifest.sums.keys()].map((path) => join(prefix, dirname(path))),
  );
  for (const folder of used) if (existsSync(folder)) removeLeftovers(folder);
  const removeFolders = () => {
    for (const path of manifest.folders.toReversed()) removeEmpty(join(prefix, path));
  };
  removeFolders();
  rmSync(join(prefix, MANIFEST));
  removeFolders(); // now also those of the manifest
}

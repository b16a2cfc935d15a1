// Writes files so that all of them appear, or none: each under a temporary name beside its place, then renamed.
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import type { Entry } from "./layout.ts";
import { MANIFEST, readChunks } from "./manifest.ts";
import { removeLeftovers, temporaryName } from "./temporary.ts";

/** Whatever the umask of root is, users can read and run what is installed. */
const FOLDER_MODE = 0o755;
/** Permissions of files. */
export const modes = { executable: 0o755, text: 0o644 } as const;

export class Staging implements Disposable {
  readonly #prefix: string;
  /** Temporary name and place of each entry. */
  readonly #staged: { readonly temporary: string; readonly path: string }[] = [];
  /** Everything that this process has made under a temporary name. */
  readonly #temporaries: string[] = [];
  /** The folders that were made, relative to the prefix, the outermost first. */
  readonly #folders: string[] = [];
  readonly #cleaned = new Set<string>();
  /** The manifest, if there was none before. */
  #newManifest: string | undefined;
  #done = false;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /**
   * Writes a manifest under a temporary name; the function that is returned moves it to its place. The first one comes before all
   * other files, and the folders that it needs appear together with it, so that after a kill nothing is there that is not listed.
   * Throws system errors.
   */
  addManifest(text: string): () => void {
    const path = join(this.#prefix, MANIFEST);
    const isNew = !isThere(path);
    const missing = missingFolders(this.#prefix, [MANIFEST]);
    const outermost = missing.length === 0 ? path : join(this.#prefix, missing[0] ?? "");
    const temporary = this.#temporaryFor(outermost);
    const manifest = join(temporary, relative(outermost, path));
    for (const folder of missing)
      makeFolder(join(temporary, relative(outermost, join(this.#prefix, folder))), outermost);
    writeEntry(manifest, { path: MANIFEST, kind: "text", text });
    return () => {
      renameSync(temporary, outermost);
      this.#folders.push(...missing);
      if (isNew) this.#newManifest = path;
    };
  }

  /** Writes an entry under a temporary name. Throws system errors. */
  add(entry: Entry): void {
    const path = join(this.#prefix, entry.path);
    for (const folder of missingFolders(this.#prefix, [entry.path])) {
      makeFolder(join(this.#prefix, folder));
      this.#folders.push(folder);
    }
    const temporary = this.#temporaryFor(path);
    this.#staged.push({ temporary, path });
    writeEntry(temporary, entry);
  }

  /** Moves everything to its place. After a failure what was new is removed again. Throws system errors. */
  commit(): void {
    const fresh: string[] = [];
    try {
      for (const { temporary, path } of this.#staged) {
        const isNew = !isThere(path);
        renameSync(temporary, path);
        if (isNew) fresh.push(path);
      }
    } catch (error) {
      for (const path of fresh) rmSync(path, { force: true });
      throw error;
    }
    this.#done = true;
  }

  /** A new name beside `path`. Its folder is first freed from what a killed installation has left. */
  #temporaryFor(path: string): string {
    const folder = dirname(path);
    if (!this.#cleaned.has(folder) && isThere(folder)) removeLeftovers(folder);
    this.#cleaned.add(folder);
    const temporary = join(folder, temporaryName(this.#temporaries.length));
    this.#temporaries.push(temporary);
    return temporary;
  }

  /** Removes what was not moved to its place. An earlier manifest stays as it was completed: it is right before and after. */
  [Symbol.dispose](): void {
    for (const temporary of this.#temporaries) removeTemporary(temporary);
    if (this.#done) return;
    if (this.#newManifest !== undefined) removeTemporary(this.#newManifest);
    for (const path of this.#folders.toReversed()) removeEmpty(join(this.#prefix, path));
  }
}

const isThere = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** The folders that these paths need and that are not there, relative to the prefix, the outermost first; "." is the prefix. */
export function missingFolders(prefix: string, paths: readonly string[]): string[] {
  const needed = new Set<string>();
  for (const path of paths) {
    const folders = [];
    for (let folder = dirname(path); folder !== "."; folder = dirname(folder)) folders.push(folder);
    for (const folder of [...folders, "."].reverse()) needed.add(folder);
  }
  return [...needed].filter((folder) => !isThere(join(prefix, folder)));
}

/** Makes a folder that all users may read, at once. An error names `place`, where it will be. */
function makeFolder(path: string, place = path): void {
  const before = process.umask(0o777 & ~FOLDER_MODE);
  try {
    onFile(place, () => mkdirSync(path));
  } finally {
    process.umask(before);
  }
}

function writeEntry(path: string, entry: Entry): void {
  if (entry.kind === "link") {
    onFile(path, () => symlinkSync(entry.target, path));
    return;
  }
  const fd = openSync(path, "wx", 0o600);
  try {
    if (entry.kind === "text") writeAll(fd, path, Buffer.from(entry.text));
    else readChunks("/proc/self/exe", (chunk) => writeAll(fd, path, chunk));
    fchmodSync(fd, modes[entry.kind]);
    onFile(path, () => fsyncSync(fd));
  } finally {
    closeSync(fd);
  }
}

/** Removes a folder unless there is something in it. Returns whether it did. */
export function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch {
    return false; // it has other files, or is not there
  }
}

/** Removes a temporary file. On a read-only disk that fails even where there is none, and must not hide the first error. */
function removeTemporary(path: string): void {
  try {
    rmSync(path, { force: true, recursive: true });
  } catch {
    // The next installation removes it.
  }
}

function writeAll(fd: number, name: string, bytes: Uint8Array): void {
  onFile(name, () => {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
  });
}

/** Runs a call; its error gets the name of the file, which the runtime does not give. */
function onFile(name: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    throw Object.assign(error as Error, { path: name });
  }
}

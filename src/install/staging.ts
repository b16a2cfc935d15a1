// Writes files so that all of them appear, or none: each under a temporary name beside its place, then renamed.
import {
  chmodSync,
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Entry } from "./layout.ts";
import { fileSum, linkSum, textSum } from "./manifest.ts";

/** Whatever the umask of root is, users can read and run what is installed. */
const FOLDER_MODE = 0o755;
/** A temporary name: the process and a number. */
const TEMPORARY = /^\.framepass-(\d+)-\d+$/;

export class Staging implements Disposable {
  readonly #prefix: string;
  /** Temporary name and place of each entry. */
  readonly #staged: { readonly temporary: string; readonly path: string }[] = [];
  readonly #folders: string[] = [];
  readonly #cleaned = new Set<string>();
  #done = false;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** The folders that were made, relative to the prefix, the outermost first. */
  get folders(): readonly string[] {
    return this.#folders;
  }

  /** Writes an entry under a temporary name and returns its sum. Throws system errors. */
  add(entry: Entry): string {
    const path = join(this.#prefix, entry.path);
    this.makeFolderOf(entry.path);
    this.#clean(dirname(path));
    const temporary = join(dirname(path), `.framepass-${process.pid}-${this.#staged.length}`);
    this.#staged.push({ temporary, path });
    if (entry.kind === "link") {
      onFile(temporary, () => symlinkSync(entry.target, temporary));
      return linkSum(entry.target);
    }
    const fd = openSync(temporary, "wx", 0o600);
    try {
      const sum =
        entry.kind === "text" ? writeText(fd, temporary, entry.text) : copyOwn(fd, temporary);
      fchmodSync(fd, entry.kind === "executable" ? 0o755 : 0o644);
      onFile(temporary, () => fsyncSync(fd));
      return sum;
    } finally {
      closeSync(fd);
    }
  }

  /** Moves everything to its place. After a failure what was new is removed again. Throws system errors. */
  commit(): void {
    const fresh: string[] = [];
    try {
      for (const { temporary, path } of this.#staged) {
        const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
        renameSync(temporary, path);
        if (isNew) fresh.push(path);
      }
    } catch (error) {
      for (const path of fresh) rmSync(path, { force: true });
      throw error;
    }
    this.#done = true;
  }

  /** Makes the folders that the path needs. Throws system errors. */
  makeFolderOf(path: string): void {
    this.#makeFolder(dirname(path));
  }

  /**
   * Removes the temporary files of an installation that was killed. It runs before this process adds a file to the folder, so
   * that names with its own number are of an earlier process. In a container the number is often the same.
   */
  #clean(folder: string): void {
    if (this.#cleaned.has(folder)) return;
    this.#cleaned.add(folder);
    for (const name of readdirSync(folder)) {
      const [, pid] = TEMPORARY.exec(name) ?? [];
      if (pid === undefined) continue;
      if (Number(pid) === process.pid || !existsSync(`/proc/${pid}`)) rmSync(join(folder, name));
    }
  }

  #makeFolder(path: string): void {
    const whole = join(this.#prefix, path);
    if (lstatSync(whole, { throwIfNoEntry: false }) !== undefined) return;
    if (path !== ".") this.#makeFolder(dirname(path));
    mkdirSync(whole);
    this.#folders.push(path);
    chmodSync(whole, FOLDER_MODE);
  }

  /** Removes what was not moved to its place. */
  [Symbol.dispose](): void {
    for (const { temporary } of this.#staged) removeTemporary(temporary);
    if (this.#done) return;
    for (const path of this.#folders.toReversed()) removeEmpty(join(this.#prefix, path));
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
    rmSync(path, { force: true });
  } catch {
    // The next installation removes it.
  }
}

function writeText(fd: number, name: string, text: string): string {
  writeAll(fd, name, Buffer.from(text));
  return textSum(text);
}

const copyOwn = (fd: number, name: string): string =>
  fileSum("/proc/self/exe", (chunk) => writeAll(fd, name, chunk));

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

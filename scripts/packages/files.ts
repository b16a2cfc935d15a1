// Files of a package: the same bytes, modes and times wherever and whenever they are made.
import { chmodSync, lstatSync, lutimesSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** Writes a text that all users can read, with the folders around it. */
export function writeText(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Everything below a folder, relative to it, sorted. */
export const below = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();

/** The regular files below a folder, relative to it, sorted. */
export const filesBelow = (folder: string): string[] =>
  below(folder).filter((path) => lstatSync(join(folder, path)).isFile());

/** Gives everything in a folder the modes 0755 or 0644, and one time. */
export function settle(folder: string, epochSeconds: number): void {
  for (const path of ["", ...below(folder)].map((name) => join(folder, name))) {
    const stat = lstatSync(path);
    const executable = stat.isDirectory() || (stat.mode & 0o111) !== 0;
    if (!stat.isSymbolicLink()) chmodSync(path, executable ? 0o755 : 0o644);
    lutimesSync(path, epochSeconds, epochSeconds);
  }
}

/** Runs a program to its end. Throws one line when it fails. */
export async function runProgram(
  command: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const child = Bun.spawn([...command], {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    env: { ...process.env, LC_ALL: "C", ...options.env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 300_000,
  });
  const [said, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0)
    throw new Error(`${command[0]}: ${said.trim().split("\n").at(-1) || `exit status ${status}`}`);
}

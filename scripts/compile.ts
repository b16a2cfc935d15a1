// Compiles an entry of cmd/ to an executable for one target.
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { projectDir } from "./ensure.ts";

/** The targets of `bun run build --all`. Bun calls them "bun-linux-x64" and so on. */
export const targets = ["linux-x64", "linux-arm64", "linux-x64-musl", "linux-arm64-musl"] as const;
export type Target = (typeof targets)[number];

/** The target that this machine runs. */
export const hostTarget: Target = process.arch === "arm64" ? "linux-arm64" : "linux-x64";

/** The commit the sources are at, marked when they differ from it. */
export function commit(): string {
  const git = (...args: string[]) => Bun.spawnSync(["git", ...args], { cwd: projectDir });
  const head = git("rev-parse", "--short=12", "HEAD");
  if (head.exitCode !== 0) return "no commit";
  const changed = git("status", "--porcelain", "--untracked-files=no").stdout.length > 0;
  return `${head.stdout.toString().trim()}${changed ? "-changed" : ""}`;
}

/** The worker of --metrics: every executable has it as a second entry, and starts it only with that option. */
const WORKER = "src/metrics/page-worker.ts";

/**
 * Compiles `entry` to `outfile`. The directory that an executable is started in must not change what it does:
 * Bun loads no file from there.
 */
export function compile(entry: string, outfile: string, target: string, cross: boolean): void {
  // Another process may run the file, or build it, at the same time: it is written beside its place and renamed. Bun writes the
  // name of the file into it, so that only the folder has a name of its own.
  const folder = join(dirname(outfile), `.compile-${process.pid}`);
  const fresh = join(folder, basename(outfile));
  mkdirSync(folder, { recursive: true });
  try {
    const build = Bun.spawnSync(
      [
        process.execPath,
        "build",
        entry,
        WORKER,
        "--compile",
        "--bytecode", // halves the time the executable needs to start
        "--format=esm", // bytecode as CommonJS breaks citty and consola
        ...(cross ? [`--target=bun-${target}`] : []),
        "--no-compile-autoload-dotenv",
        "--no-compile-autoload-bunfig",
        "--no-compile-autoload-tsconfig",
        "--no-compile-autoload-package-json",
        "--define",
        `FRAMEPASS_COMMIT=${JSON.stringify(commit())}`,
        "--define",
        `FRAMEPASS_TARGET=${JSON.stringify(target)}`,
        `--outfile=${fresh}`,
      ],
      { cwd: projectDir, stdin: "ignore", timeout: 300_000 },
    );
    if (build.exitCode !== 0)
      throw new Error(`building ${entry} for ${target}: ${build.stderr.toString().trim()}`);
    renameSync(fresh, outfile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

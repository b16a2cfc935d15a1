// The packages of `bun run package`, made when a source is newer than they are.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { result } from "../../ffi/errno.ts";
import { libc } from "../../ffi/libc.ts";
import { version } from "../../package.json";
import { commit } from "../../scripts/compile.ts";
import { projectDir } from "../../scripts/ensure.ts";
import { changedMs, dist } from "./tool.ts";

const LOCK_EX = 2;

export const packages = join(dist, "packages");
export const debOf = (architecture: string) =>
  join(packages, `framepass_${version}_${architecture}.deb`);
export const archiveName = (target: string) => `framepass-${version}-${target}`;
export const sbomPath = join(packages, `framepass-${version}.cdx.json`);

/** Makes the packages unless they are of these sources. Other processes that want them wait meanwhile. */
export function packaged(): void {
  mkdirSync(dist, { recursive: true });
  const lock = openSync(join(dist, ".packages-lock"), "w");
  try {
    if (result(libc.flock(lock, LOCK_EX)) < 0) throw new Error("flock dist/.packages-lock");
    if (isFresh()) return;
    const made = Bun.spawnSync([process.execPath, "run", "package"], {
      cwd: projectDir,
      stdin: "ignore",
      timeout: 300_000,
    });
    if (made.exitCode !== 0) throw new Error(`bun run package: ${made.stderr.toString().trim()}`);
  } finally {
    closeSync(lock);
  }
}

function isFresh(): boolean {
  if (!existsSync(sbomPath)) return false;
  const others = ["README.md", "docs"].map((path) => statSync(join(projectDir, path)).mtimeMs);
  if (statSync(sbomPath).mtimeMs < Math.max(changedMs(), ...others)) return false;
  return readFileSync(sbomPath, "utf8").includes(`"${commit()}"`);
}

// Compiles the programs of test/lab/programs for guests.
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, projectDir } from "../../scripts/ensure.ts";

/** Builds the program of that name when a source is newer than it; answers the executable's path. */
export function buildProgram(name: string): string {
  const directory = join(cacheDir(), "lab", "programs");
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `${name}-${Bun.hash(projectDir).toString(36)}`);
  const newest = Math.max(
    ...["src", "ffi", "test/support", "test/lab/programs"].map((each) =>
      newestFile(join(projectDir, each)),
    ),
  );
  if (existsSync(path) && statSync(path).mtimeMs > newest) return path;
  const fresh = `${path}.${process.pid}`;
  const source = join(projectDir, "test/lab/programs", `${name}.ts`);
  const build = Bun.spawnSync(
    [process.execPath, "build", source, "--compile", `--outfile=${fresh}`],
    { cwd: projectDir, stdin: "ignore", timeout: 120_000 },
  );
  if (build.exitCode !== 0) throw new Error(`building ${source}: ${build.stderr.toString()}`);
  renameSync(fresh, path);
  return path;
}

function newestFile(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Math.max(
    ...files
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs),
  );
}

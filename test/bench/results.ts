// The results of benches: where they were measured, and their figures; as a JSON file.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { dirname } from "node:path";
import { UsageError } from "../../src/errors.ts";
import type { Figure } from "./figures.ts";

export interface Results {
  /** "2 x AMD EPYC, Linux 6.18, Bun 1.4.5". */
  readonly machine: string;
  readonly command: string;
  /** When the run began, ISO 8601. */
  readonly date: string;
  /** With "-changed" when tracked files differ from it. */
  readonly commit: string;
  readonly figures: readonly (Figure & { readonly bench: string })[];
}

export function machineLine(): string {
  const processors = cpus();
  return `${processors.length} x ${processors[0]?.model.trim()}, Linux ${release()}, Bun ${Bun.version}`;
}

/** The commit of the working tree; "unknown" outside of a repository. */
export function commitOf(directory: string): string {
  const git = (...words: string[]) => {
    const { exitCode, stdout } = Bun.spawnSync(["git", ...words], { cwd: directory });
    return exitCode === 0 ? stdout.toString().trim() : undefined;
  };
  const head = git("rev-parse", "--short=12", "HEAD");
  if (head === undefined) return "unknown";
  return git("status", "--porcelain", "--untracked-files=no") === "" ? head : `${head}-changed`;
}

export function writeResults(path: string, results: Results): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`);
}

/** Reads what `writeResults` or `--json` wrote. Throws UsageError for any other file. */
export function readResults(path: string): Results {
  const results = parse(path, readText(path));
  const { figures, machine, date, commit } = (results ?? {}) as Partial<Results>;
  const sound =
    typeof machine === "string" &&
    typeof date === "string" &&
    typeof commit === "string" &&
    Array.isArray(figures) &&
    figures.every(
      (figure) =>
        typeof figure?.name === "string" &&
        typeof figure.bench === "string" &&
        typeof figure.unit === "string" &&
        (figure.value === null || Number.isFinite(figure.value)),
    );
  if (!sound) throw new UsageError(`--against ${path}: no results of a bench are in it`);
  return results as Results;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`--against ${path}: it cannot be read (${code})`);
  }
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`--against ${path}: it is no JSON`);
  }
}

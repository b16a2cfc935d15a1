// Installs what the project's commands need on a bare machine: npm packages from the lock file, Debian
// packages with apt-get. Imports nothing from node_modules, which may not exist yet.

import { existsSync, mkdirSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The repository's top directory. */
export const projectDir = resolve(import.meta.dir, "..");

/** A needed Debian package, and the path or command it provides. */
export interface DebianNeed {
  readonly package: string;
  readonly provides: string;
}

/** Exit status of "not available on this host". */
const EXIT_UNAVAILABLE = 3;

/** A user's PATH may lack the administrator's tools. */
const searchPath = `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;

/** The directory downloads are kept in, outside the repository; made when absent. */
export function cacheDir(): string {
  const xdg = process.env.XDG_CACHE_HOME;
  const dir =
    process.env.FRAMEPASS_CACHE ||
    (xdg ? join(xdg, "framepass") : join(homedir(), ".cache", "framepass"));
  mkdirSync(dir, { recursive: true });
  return resolve(dir);
}

/** Installs the npm packages when they are missing or older than the lock file. */
export function ensureNpm(): void {
  const modules = join(projectDir, "node_modules");
  const stamp = join(modules, ".framepass-installed");
  const lock = statSync(join(projectDir, "bun.lock"));
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= lock.mtimeMs) return;
  const install = join(projectDir, "scripts", "install.ts");
  const done = Bun.spawnSync([process.execPath, install], { stdin: "ignore" });
  if (done.exitCode !== 0) unavailable(lastLine(done.stderr));
  Bun.spawnSync(["touch", stamp]);
}

/** Installs the Debian packages that are missing; without root says which and exits with status 3. */
export function ensureDebian(needs: readonly DebianNeed[]): void {
  const missing = needs.filter((need) => !isProvided(need.provides)).map((need) => need.package);
  if (missing.length === 0) return;
  const names = [...new Set(missing)].join(" ");
  if (process.getuid?.() !== 0 || Bun.which("apt-get", { PATH: searchPath }) === null) {
    unavailable(`missing Debian packages, install them first: apt-get install ${names}`);
  }
  process.stderr.write(`installing Debian packages: ${names}\n`);
  const install = ["install", "-y", "-qq", "--no-install-recommends", ...names.split(" ")];
  // The package lists of a fresh machine are empty or old: fetch them when the first try fails.
  let failure = aptGet(install);
  if (failure !== undefined) failure = aptGet(["update", "-qq"]) ?? aptGet(install);
  if (failure !== undefined) unavailable(`apt-get install ${names}: ${failure}`);
  const still = needs.filter((need) => !isProvided(need.provides)).map((need) => need.provides);
  if (still.length > 0) unavailable(`installed ${names}, but there is no ${still.join(", ")}`);
}

/** Runs apt-get; answers the last line of its error output, or undefined when it succeeded. */
export function aptGet(args: readonly string[], cwd = "/"): string | undefined {
  const command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "APT::Sandbox::User=root"];
  const attempts = 5; // the lock of the package lists has no timeout of its own
  for (let attempt = 1; ; attempt++) {
    const done = Bun.spawnSync([...command, ...args], {
      cwd,
      env: { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
      stdin: "ignore",
      timeout: 600_000,
    });
    if (done.exitCode === 0) return undefined;
    const complaint = lastLine(done.stderr) || `exit status ${done.exitCode}`;
    if (attempt === attempts || !/lock/i.test(done.stderr.toString())) return complaint;
    Bun.sleepSync(2000);
  }
}

/** Ends the program with one line and the status of "not available on this host". */
function unavailable(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(EXIT_UNAVAILABLE);
}

function isProvided(provides: string): boolean {
  if (provides.startsWith("/")) return existsSync(provides);
  return Bun.which(provides, { PATH: searchPath }) !== null;
}

function lastLine(output: Buffer): string {
  return output.toString().trim().split("\n").at(-1) ?? "";
}

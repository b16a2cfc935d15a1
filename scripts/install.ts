// `bun install` from the lock file, for ensure.ts. Where no network answers, bun itself waits for minutes: this gives up when no
// package has come within the first seconds, and says so in one line on stderr.
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const projectDir = resolve(import.meta.dir, "..");
const FIRST_PACKAGE_MS = 4000;
const LONGEST_MS = 300_000;

const cache = Bun.spawnSync([process.execPath, "pm", "cache"], { cwd: projectDir, timeout: 2000 });
const places = [join(projectDir, "node_modules"), cache.stdout.toString().trim()];

/** How many packages are there, in the cache and in the project. */
function packages(): number {
  let count = 0;
  for (const place of places) {
    try {
      count += readdirSync(place).length;
    } catch {
      // It is not there yet.
    }
  }
  return count;
}

const before = packages();
const child = Bun.spawn([process.execPath, "install", "--frozen-lockfile"], {
  cwd: projectDir,
  stdin: "ignore",
  stdout: "ignore",
  stderr: "pipe",
  timeout: LONGEST_MS,
});
let silent = false;
setTimeout(() => {
  silent = packages() === before;
  if (silent) child.kill("SIGKILL");
}, FIRST_PACKAGE_MS).unref();
const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
const missing = [...stderr.matchAll(/downloading (?:tarball|package manifest) (\S+)/g)];
const names = [...new Set(missing.map(([, name]) => name))].join(", ");
if (silent || names !== "") {
  const what = names === "" ? "the npm packages of bun.lock" : names;
  console.error(
    `bun install could not get ${what} from the npm registry; connect to a network, or set a registry that answers`,
  );
} else if (status !== 0) console.error(stderr.trim().split("\n").at(-1));
process.exit(status === 0 ? 0 : 1);

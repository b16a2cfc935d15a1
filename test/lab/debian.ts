// Debian packages as a source of files: resolved and fetched by apt-get into the cache, unpacked by
// dpkg-deb, never installed.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { aptGet, cacheDir } from "../../scripts/ensure.ts";

/** Runs a host command and answers its output. Throws one line when it fails. */
export async function hostCommand(
  command: readonly string[],
  options: { readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd: options.cwd ?? "/",
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: "C" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: options.timeoutMs ?? 120_000,
    killSignal: "SIGKILL",
  });
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (status === 0) return out;
  const reason = err.trim().split("\n").at(-1) || `exit status ${status}`;
  throw new Error(`${command.slice(0, 6).join(" ")}: ${reason}`);
}

const beingMade = new Map<string, Promise<string>>();

/**
 * A directory in the cache, made once: `fill` writes into a temporary directory that takes the
 * final name when it is complete, so that two labs at the same time never see an incomplete one.
 */
export function cachedDir(name: string, fill: (dir: string) => Promise<void>): Promise<string> {
  const making = beingMade.get(name) ?? makeDir(join(cacheDir(), "lab", name), fill);
  beingMade.set(name, making);
  return making;
}

async function makeDir(final: string, fill: (dir: string) => Promise<void>): Promise<string> {
  if (existsSync(final)) return final;
  const partial = `${final}.${process.pid}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  try {
    await fill(partial);
    renameSync(partial, final);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(final)) throw error; // otherwise another lab has made it meanwhile
  }
  return final;
}

/** A short hash of some contents: the key of a directory in the cache. */
export function contentKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex").slice(0, 16);
}

/** Unpacks the packages named (`name` or `name=version`), without what they depend on. */
export async function unpackPackages(packages: readonly string[], into: string): Promise<void> {
  const debs = `${into}.debs`;
  mkdirSync(debs);
  try {
    const download = ["download", "-qq", ...packages];
    let failure = aptGet(download, debs);
    if (failure !== undefined) failure = aptGet(["update", "-qq"]) ?? aptGet(download, debs);
    if (failure !== undefined)
      throw new Error(`apt-get download ${packages.join(" ")}: ${failure}`);
    for (const deb of readdirSync(debs)) {
      await hostCommand(["dpkg-deb", "-x", join(debs, deb), into]);
    }
  } finally {
    rmSync(debs, { recursive: true, force: true });
  }
}

/** The packages named and everything they need on a system that has nothing installed. */
export async function withDependencies(packages: readonly string[]): Promise<readonly string[]> {
  const resolve = [
    ...["apt-get", "install", "--print-uris", "-qq", "-y", "--no-install-recommends"],
    ...["-o", "Dir::State::status=/dev/null", "-o", "Debug::NoLocking=1"],
    ...packages,
  ];
  const lines = await hostCommand(resolve).catch(() => {
    const failure = aptGet(["update", "-qq"]);
    if (failure !== undefined) throw new Error(`apt-get update: ${failure}`);
    return hostCommand(resolve);
  });
  // 'address' name_version_arch.deb size hash
  return [...lines.matchAll(/^'[^']+' ([^_ ]+)_/gm)].map((match) => match[1] ?? "");
}

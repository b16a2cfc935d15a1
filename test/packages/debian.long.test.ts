// The .deb in new installations of Debian 11, 12 and 13, and the one for arm64 under an emulator of its processor.
import { expect, test } from "bun:test";
import { chmodSync, cpSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { takeFirstSteps } from "../support/first-steps.ts";
import { formerFiles, makeOlderPackage } from "../support/older-package.ts";
import { debOf, packaged } from "../support/packages.ts";
import { SystemRoot } from "../support/system-root.ts";
import { debianSystem } from "../support/systems.ts";

/** From the package to frames in a file. */
const STRANGER_MS = 60_000;
const DEB = "/tmp/framepass.deb";
const OLDER = "/tmp/framepass-older.deb";
const CALLS = "/tmp/systemctl-calls";
/** A new system has to be downloaded first. */
const MAKING_MS = 600_000;

/** Every file but those of dpkg and apt, and those that live in memory. */
const listing = async (system: SystemRoot): Promise<readonly string[]> => {
  const outside = ["proc", "dev", "tmp", "var/lib/dpkg", "var/lib/apt", "var/cache", "var/log"];
  const pruned = outside.flatMap((path) => ["-path", `/${path}`, "-prune", "-o"]);
  const found = await system.ok(["find", "/", ...pruned, "-printf", "%p %y %m %l\n"]);
  return found.trim().split("\n").sort();
};

/** A system as small as this has no systemd: a script in its place writes down how it is called. */
function standInForSystemd(system: SystemRoot): void {
  mkdirSync(system.file("/run/systemd/system"), { recursive: true });
  writeFileSync(system.file("/usr/bin/systemctl"), `#!/bin/sh\necho "$*" >> ${CALLS}\n`);
  chmodSync(system.file("/usr/bin/systemctl"), 0o755);
}

/** The users and groups of a system. */
const accounts = (system: SystemRoot) =>
  ["/etc/passwd", "/etc/group"].map((path) => readFileSync(system.file(path), "utf8"));

/** Installs an earlier version first: units, a link, a page and a folder of it have to go with the upgrade. */
async function installOlder(system: SystemRoot): Promise<void> {
  await makeOlderPackage(debOf("amd64"), system.file(OLDER));
  await system.ok(["dpkg", "-i", OLDER]);
  expect(await system.ok(["framepass"])).toBe("framepass 0.0.1\n");
  for (const path of formerFiles) expect(pathIsThere(system.file(path)), path).toBe(true);
}

/** Whether there is something at a path, a link that leads nowhere as well. */
const pathIsThere = (path: string) => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

test.each([
  ["bullseye", ["dpkg", "-i", DEB], ["libavcodec58", "libswscale5"], false],
  ["bookworm", ["dpkg", "-i", DEB], ["libavcodec59", "libswscale6"], true],
  [
    "trixie",
    ["apt-get", "install", "-qq", "-y", "--no-install-recommends", DEB],
    ["libavcodec61", "libswscale8"],
    false,
  ],
] as const)(
  "Debian %s: the package is installed, in one over an earlier version, used with the lines of its help, and removed without a trace",
  async (release, install, recommended, upgrade) => {
    packaged();
    await using system = await SystemRoot.enter(await debianSystem(release));
    cpSync(debOf("amd64"), system.file(DEB));
    standInForSystemd(system);
    const before = await listing(system);
    const accountsBefore = accounts(system);
    if (upgrade) await installOlder(system);

    const from = performance.now();
    await system.ok(install);
    await takeFirstSteps(system, ["framepass"]);
    const tookMs = performance.now() - from;
    console.log(`Debian ${release}: ${(tookMs / 1000).toFixed(1)} s from the package to frames`);
    expect(tookMs).toBeLessThan(STRANGER_MS);
    await system.ok(["rm", "/film.y4m", "/film.raw"]);

    // The files are as dpkg wrote them, also after install and uninstall were tried in the same place.
    const owned = "/usr/share/framepass/manifest: what is here belongs to a package";
    for (const word of ["install", "uninstall"]) {
      const refused = await system.run(["framepass", word, "--prefix", "/usr"]);
      expect({ status: refused.status, lines: refused.lines.length }).toEqual({
        status: 3,
        lines: 1,
      });
      expect(refused.stderr).toContain(owned);
    }
    expect(await system.ok(["dpkg", "--verify", "framepass"])).toBe("");
    // What libvirt does with the descriptor.
    const back = "/usr/libexec/framepass/vhost-user-video";
    expect(JSON.parse(await system.ok([back, "--print-capabilities"])).type).toBe("video");

    for (const path of formerFiles) expect(pathIsThere(system.file(path)), path).toBe(false);

    // An upgrade stops no instance: postinst of the earlier version, its postrm and the new postinst.
    const reload = "--system daemon-reload\n";
    const installed = readFileSync(system.file(CALLS), "utf8");
    expect(installed).toBe(reload.repeat(upgrade ? 3 : 1));
    if (upgrade) {
      await system.ok(["dpkg", "--remove", "framepass"]);
      expect(await listing(system)).toEqual(before); // nothing is left for the purge but what dpkg knows
    }
    await system.ok(["dpkg", "--purge", "framepass"]);
    expect(await listing(system)).toEqual(before);
    expect(accounts(system)).toEqual(accountsBefore);
    const calls = readFileSync(system.file(CALLS), "utf8").slice(installed.length);
    const [stop, ...rest] = calls.split(/(?<=\n)/);
    expect([...new Set(rest)]).toEqual([reload]);
    expect(stop).toStartWith("stop framepass-receiver@*.service framepass-sender@*.service ");

    // apt would take what the tools load, under the names of this release. It only simulates: there is no network.
    const simulated = await system.ok(["apt-get", "install", "-s", DEB]);
    const would = [...simulated.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name ?? "");
    for (const name of ["libsdl2-2.0-0", "libturbojpeg0", ...recommended])
      expect(would).toContain(name);
  },
  MAKING_MS,
);

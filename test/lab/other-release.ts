// Packages of another Debian release than the host's, with all their dependencies: fetched by apt-get with a list of sources
// of its own, unpacked, never installed. Root is not needed.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { aptGet } from "../../scripts/ensure.ts";
import { hostCommand } from "./debian.ts";

/** Which packages, of which release. */
export interface ReleasePackages {
  /** The release's name, "bullseye". */
  readonly release: string;
  /** Take the packages from the release's backports. */
  readonly backports?: boolean;
  readonly packages: readonly string[];
  /** Take these packages alone, without what they depend on. */
  readonly alone?: boolean;
  /** Debian's name of another architecture than the host's. */
  readonly architecture?: string;
}

/** Unpacks the packages and all they need on an empty system into `root`. Throws when apt-get fails. */
export async function unpackRelease(
  { release, backports = false, packages, alone = false, architecture }: ReleasePackages,
  root: string,
): Promise<void> {
  const work = `${root}.apt`;
  for (const sub of ["lists/partial", "cache/archives/partial"]) {
    mkdirSync(join(work, sub), { recursive: true });
  }
  try {
    const site = await archive();
    const suites = [release, ...(backports ? [`${release}-backports`] : [])];
    const lines = suites.map((suite) => `deb ${site} ${suite} main\n`);
    await Bun.write(join(work, "sources.list"), lines.join(""));
    const options = [
      `Dir::Etc::sourcelist=${work}/sources.list`,
      "Dir::Etc::sourceparts=-",
      `Dir::State::lists=${work}/lists`,
      "Dir::State::status=/dev/null",
      `Dir::Cache=${work}/cache`,
      "Debug::NoLocking=1",
      ...(architecture === undefined
        ? []
        : [`APT::Architecture=${architecture}`, `APT::Architectures::=${architecture}`]),
    ].flatMap((option) => ["-o", option]);
    const debs = join(work, "cache/archives");
    const from = ["-qq", "-t", suites.at(-1) ?? release];
    const get = alone
      ? ["download", ...from]
      : ["install", "-y", ...from, "--download-only", "--no-install-recommends"];
    const failure =
      aptGet([...options, "update", "-qq"]) ?? aptGet([...options, ...get, ...packages], debs);
    if (failure !== undefined) throw new Error(`${packages.join(" ")} of ${release}: ${failure}`);
    for (const deb of readdirSync(debs).filter((name) => name.endsWith(".deb"))) {
      await hostCommand(["dpkg-deb", "-x", join(debs, deb), root]);
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where the host gets its own packages from. */
export async function archive(): Promise<string> {
  const format = "$(CREATED_BY) $(REPO_URI) $(CODENAME)";
  const lines = await hostCommand(["apt-get", "indextargets", "--format", format]);
  // The release itself: a name without "-security" or "-updates" behind it.
  const found = /^Packages (\S+\/debian\/?) [a-z]+$/m.exec(lines)?.[1];
  if (found === undefined) throw new Error("apt has no archive of Debian: apt-get indextargets");
  return found;
}

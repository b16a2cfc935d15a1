// `bun run package`: dist/packages has a .deb for amd64 and arm64, an archive for each musl target, the list of what is in them
// (SBOM), and SHA256SUMS. Two builds of a commit give the same bytes.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json";
import { commit, compile, hostTarget, type Target, targets } from "./compile.ts";
import { ensureDebian, ensureNpm, projectDir } from "./ensure.ts";

const dist = join(projectDir, "dist");
const packages = join(dist, "packages");
const scratch = join(dist, `.package-${process.pid}`);

/** SOURCE_DATE_EPOCH, otherwise the time of the commit, in seconds. Throws without both. */
function sourceSeconds(): number {
  const given = process.env.SOURCE_DATE_EPOCH;
  const git = Bun.spawnSync(["git", "log", "-1", "--format=%ct"], { cwd: projectDir });
  const text = given ?? git.stdout.toString().trim();
  if (!/^\d{1,11}$/.test(text))
    throw new Error(
      given === undefined
        ? "no commit here that says from when the sources are: set SOURCE_DATE_EPOCH"
        : `SOURCE_DATE_EPOCH must be seconds since 1970, got "${given}"`,
    );
  return Number(text);
}

/** Compiles every target; the name of the file is the same for all, because it is written into the executable. */
function executables(): ReadonlyMap<Target, string> {
  return new Map(
    targets.map((target) => {
      const outfile = join(scratch, target, "framepass");
      mkdirSync(join(scratch, target), { recursive: true });
      compile("cmd/framepass.ts", outfile, target, true);
      return [target, outfile];
    }),
  );
}

async function makePackages(): Promise<void> {
  const { architectures } = await import("./packages/debian-texts.ts");
  const { makeDeb } = await import("./packages/deb.ts");
  const { makeTarball } = await import("./packages/tarball.ts");
  const { sbom } = await import("./packages/sbom.ts");
  const { runProgram } = await import("./packages/files.ts");
  const { runtime } = await import("./packages/components.ts");
  if (Bun.version !== runtime.version)
    throw new Error(`this is Bun ${Bun.version}, and packages are made with ${runtime.version}`);
  const epochSeconds = sourceSeconds();
  const from = commit();
  const out = join(scratch, "out");
  mkdirSync(out, { recursive: true });
  const built = executables();
  const installed = join(scratch, "installed");
  const install = ["install", "--prefix", "/usr", "--destdir", installed];
  await runProgram([built.get(hostTarget) ?? "", ...install]);
  await Promise.all(
    [...built].map(([target, executable]) => {
      const stage = join(scratch, target, "stage");
      if (!(target in architectures)) {
        const name = `framepass-${version}-${target}`;
        return makeTarball({ executable, name, epochSeconds }, stage, join(out, `${name}.tar.zst`));
      }
      const architecture = architectures[target as keyof typeof architectures];
      const outfile = join(out, `framepass_${version}_${architecture}.deb`);
      return makeDeb(
        { installed, executable, architecture, commit: from, epochSeconds },
        stage,
        outfile,
      );
    }),
  );
  writeFileSync(join(out, `framepass-${version}.cdx.json`), sbom(from, epochSeconds));
  const names = readdirSync(out).sort();
  writeFileSync(
    join(out, "SHA256SUMS"),
    names.map((name) => sumLine(join(out, name), name)).join(""),
  );
  rmSync(packages, { recursive: true, force: true });
  renameSync(out, packages);
  for (const name of [...names, "SHA256SUMS"]) console.log(`dist/packages/${name}`);
}

const sumLine = (path: string, name: string) =>
  `${createHash("sha256").update(readFileSync(path)).digest("hex")}  ${name}\n`;

process.umask(0o022);
if (process.argv.length > 2) {
  console.error("usage: bun run package");
  process.exit(2);
}
ensureNpm();
ensureDebian([{ package: "dpkg", provides: "dpkg-deb" }]);
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.on(signal, () => process.exit(130));
await makePackages().catch((error: Error) => {
  console.error(`package: ${error.message}`);
  process.exitCode = 1;
});

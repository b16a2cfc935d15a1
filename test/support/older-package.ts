// An earlier version of a package, which the package is installed over: with files that the package does not have any more. Its
// executable is a script, so that it is made quickly.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hostCommand } from "../lab/debian.ts";
import { TempDir } from "./tool.ts";

const UNITS = "usr/lib/systemd/system";
const EXECUTABLE = "usr/bin/framepass";

/** What only the earlier version has. */
export const formerFiles = [
  "/usr/share/man/man1/framepass-former.1",
  `/${UNITS}/framepass-former@.service`,
  "/usr/share/framepass/former/file",
  "/usr/libexec/framepass/former",
] as const;

/** Makes `outfile`, version 0.0.1, of the package `deb`. */
export async function makeOlderPackage(deb: string, outfile: string): Promise<void> {
  using temp = new TempDir();
  const stage = temp.file("stage");
  mkdirSync(join(stage, "DEBIAN"), { recursive: true });
  const unpack = `dpkg-deb --fsys-tarfile "$0" | tar -C "$1" -x --exclude=./${EXECUTABLE}`;
  await hostCommand(["sh", "-c", unpack, deb, stage]);
  await hostCommand(["dpkg-deb", "--control", deb, join(stage, "DEBIAN")]);
  const control = readFileSync(join(stage, "DEBIAN/control"), "utf8");
  writeFileSync(join(stage, "DEBIAN/control"), control.replace(/^Version: .*$/m, "Version: 0.0.1"));
  writeFileSync(join(stage, EXECUTABLE), "#!/bin/sh\necho framepass 0.0.1\n", { mode: 0o755 });
  const [page, unit, file, link] = formerFiles.map((path) => join(stage, path));
  mkdirSync(join(stage, "usr/share/framepass/former"), { recursive: true });
  for (const path of [page, unit, file]) writeFileSync(path ?? "", "former\n");
  symlinkSync("../../bin/framepass", link ?? "");
  await hostCommand(["dpkg-deb", "--root-owner-group", "-Znone", "--build", stage, outfile]);
}

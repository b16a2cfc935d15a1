// Makes the archive for systems without packages of ours: the executable, which installs everything else itself.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../ensure.ts";
import { bundledPackages, runtime } from "./components.ts";
import { runProgram, settle, writeText } from "./files.ts";

/** 9 packs 107 MB in about 4 s to 43 %; 19 takes a minute for a tenth less. */
const LEVEL = 9;

const readme = `framepass for systems with musl, Alpine Linux for example: apk add libstdc++

./framepass --help       the tools, and the two lines to type first
./framepass doctor       what this machine can do
./framepass install      puts the executable, manual pages and completions under
                         /usr/local; "framepass uninstall" removes them

LICENSES has the licences of what is inside the executable.
`;

/** The licences of the npm packages, and where those of the runtime are. */
const licences = () =>
  [
    `framepass: Apache-2.0 or BSD-3-Clause, LICENSE-APACHE and LICENSE-BSD-3-CLAUSE.`,
    `Bun ${runtime.version}: MIT, and the licences of the libraries in it: LICENSE.md of ${runtime.source}`,
    ...bundledPackages().map(
      ({ name, version, licenceText }) => `${name} ${version}:\n\n${licenceText}`,
    ),
  ].join("\n\n----\n\n");

export interface TarballSource {
  readonly executable: string;
  /** The folder in the archive, and the archive's name without its ending. */
  readonly name: string;
  readonly epochSeconds: number;
}

/** Makes `outfile`; `scratch` is a folder that does not exist yet. */
export async function makeTarball(
  { executable, name, epochSeconds }: TarballSource,
  scratch: string,
  outfile: string,
): Promise<void> {
  const folder = join(scratch, name);
  writeText(join(folder, "README"), readme);
  writeText(join(folder, "LICENSES"), `${licences()}\n`);
  cpSync(executable, join(folder, "framepass"));
  for (const file of ["LICENSE-APACHE", "LICENSE-BSD-3-CLAUSE"])
    cpSync(join(projectDir, file), join(folder, file));
  settle(folder, epochSeconds);
  const tar = join(scratch, "tar");
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  await runProgram(["tar", "--format=ustar", "--sort=name", ...owner, "-cf", tar, name], {
    cwd: scratch,
  });
  // By the pinned runtime, and not by the zstd of this machine: the bytes do not depend on its version.
  await Bun.write(outfile, await Bun.zstdCompress(await Bun.file(tar).bytes(), { level: LEVEL }));
}

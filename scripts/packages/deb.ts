// Makes a Debian package of what `framepass install --destdir` wrote.
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  changelog,
  control,
  copyright,
  lintianOverrides,
  maintainerScripts,
  readmeDebian,
} from "./debian-texts.ts";
import { below, filesBelow, runProgram, settle, writeText } from "./files.ts";
import { copyPages } from "./pages.ts";

/** gzip: the tools of Debian 11 cannot unpack zstd, and xz takes three times as long for a sixth less. */
const COMPRESSION = ["-Zgzip", "-z6"];
const PAGES = "usr/share/man/man1";
const UNITS = "usr/lib/systemd/system";
const DOC = "usr/share/doc/framepass";
/** Debian's zsh looks in vendor-completions. */
const ZSH = { from: "usr/share/zsh/site-functions", to: "usr/share/zsh/vendor-completions" };

export interface DebSource {
  /** What `framepass install` wrote below its --destdir. */
  readonly installed: string;
  readonly executable: string;
  readonly architecture: string;
  readonly commit: string;
  readonly epochSeconds: number;
}

/** Makes `outfile`; `stage` is a folder that does not exist yet. */
export async function makeDeb(source: DebSource, stage: string, outfile: string): Promise<void> {
  const { installed, executable, architecture, commit, epochSeconds } = source;
  cpSync(installed, stage, { recursive: true, verbatimSymlinks: true });
  cpSync(executable, join(stage, "usr/bin/framepass"));
  if (existsSync(join(stage, ZSH.from))) {
    mkdirSync(dirname(join(stage, ZSH.to)), { recursive: true });
    renameSync(join(stage, ZSH.from), join(stage, ZSH.to));
  }
  writeText(join(stage, DOC, "copyright"), copyright());
  writeText(join(stage, DOC, "README.Debian"), readmeDebian);
  writeText(join(stage, DOC, "changelog"), changelog(commit, epochSeconds));
  copyPages(join(stage, DOC));
  writeText(join(stage, "usr/share/lintian/overrides/framepass"), lintianOverrides);
  const pages = filesBelow(join(stage, PAGES)).map((name) => join(stage, PAGES, name));
  await runProgram(["gzip", "-9n", ...pages, join(stage, DOC, "changelog")]);

  const files = filesBelow(stage);
  const bytes = files.map((path) => lstatSync(join(stage, path)).size);
  const others = below(stage).length - files.length;
  // Policy 5.6.20: the sum of the files in KiB, each rounded up, and one for each folder or link.
  const installedKiB = bytes.reduce((sum, size) => sum + Math.ceil(size / 1024), others);
  const sums = files.map((path) => `${md5(join(stage, path))}  ${path}\n`);
  writeText(join(stage, "DEBIAN/control"), control(architecture, installedKiB));
  writeText(join(stage, "DEBIAN/md5sums"), sums.join(""));
  for (const [name, text] of Object.entries(maintainerScripts(filesBelow(join(stage, UNITS))))) {
    writeText(join(stage, "DEBIAN", name), text);
    chmodSync(join(stage, "DEBIAN", name), 0o755);
  }
  settle(stage, epochSeconds);
  const words = ["--root-owner-group", ...COMPRESSION, "--build", stage, outfile];
  await runProgram(["dpkg-deb", ...words], { env: { SOURCE_DATE_EPOCH: String(epochSeconds) } });
}

const md5 = (path: string) => createHash("md5").update(readFileSync(path)).digest("hex");

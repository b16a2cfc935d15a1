// The files of a Debian package that are not in the executable: deb-control(5), copyright-format 1.0, deb-changelog(5).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AVCODEC_SONAMES } from "../../ffi/libavcodec.ts";
import { SWSCALE_SONAMES } from "../../ffi/swscale.ts";
import project from "../../package.json";
import { projectDir } from "../ensure.ts";
import { bundledPackages, runtime, runtimeLibraries } from "./components.ts";

/** The names of Debian's architectures, by target. */
export const architectures = { "linux-x64": "amd64", "linux-arm64": "arm64" } as const;

/** The glibc that the executable and the functions of ffi/libc.ts need: memfd_create is the newest. A test looks. */
export const LIBC6 = "2.27";

/** The project has no address for mail. */
const MAINTAINER = "framepass maintainers <maintainers@framepass.invalid>";

/** "libavcodec61" for "libavcodec.so.61". Each release of Debian has one of them. */
const packagesOf = (sonames: readonly string[]) =>
  sonames.map((soname) => soname.replace(".so.", "")).join(" | ");

/** What some tools load when they need it. */
export const recommends = [
  "libsdl2-2.0-0",
  "libturbojpeg0 | libturbojpeg",
  packagesOf(AVCODEC_SONAMES),
  packagesOf(SWSCALE_SONAMES),
] as const;

/** DEBIAN/control. */
export const control = (architecture: string, installedKiB: number): string => `Package: framepass
Version: ${project.version}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${installedKiB}
Depends: libc6 (>= ${LIBC6})
Recommends: ${recommends.join(", ")}
Section: video
Priority: optional
Description: camera video between virtual machines
 framepass sends the video of a camera from one virtual machine to another one,
 as copies of the frames over TCP or vsock, or without copies in shared memory.
 The receiver writes files, pipes and virtual cameras, or shows a window. On the
 host it serves a virtio video decoder to guests (vhost-user).
 .
 "framepass --help" lists the tools and the two lines to type first, "framepass
 doctor" what this machine can do.
`;

/** changelog.gz. */
export function changelog(commit: string, epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000).toUTCString().replace("GMT", "+0000");
  return `framepass (${project.version}) unstable; urgency=medium

  * Built from commit ${commit}.

 -- ${MAINTAINER}  ${date}
`;
}

/** README.Debian. */
export const readmeDebian = `framepass for Debian

Each tool is a subcommand: "framepass sender", "man framepass-sender". The
names alone (sender, receiver, ...) are common words, and other packages may
have commands that are called like this: the package has no such links. For
links of your own: "framepass install --links --prefix ~/.local".

SDL2 (windows), libturbojpeg (MJPG), libavcodec and libswscale (decoding) are
recommended, not needed: a tool that lacks one of them names it.
"framepass doctor" lists all of them.
`;

/** A maintainer script with commands for a system that runs systemd. */
const withSystemd = (commands: string, condition = ""): string => `#!/bin/sh
set -e
if ${condition}[ -d /run/systemd/system ]; then
  ${commands}
fi
`;
const reload = withSystemd("systemctl --system daemon-reload >/dev/null || true");

/**
 * The maintainer scripts. systemd reads the units of a new version, and forgets those of a removed one; instances of the services
 * are stopped before their executable goes. `units` are names of files: "framepass-sender@.service".
 */
export const maintainerScripts = (units: readonly string[]): Readonly<Record<string, string>> => {
  const instances = units.map((name) => `'${name.replace("@.", "@*.")}'`).join(" ");
  return {
    postinst: reload,
    prerm: withSystemd(`systemctl stop ${instances} || true`, '[ "$1" = remove ] && '),
    postrm: reload,
  };
};

/** A text as the continuation of a field. */
const continued = (text: string) =>
  text
    .split("\n")
    .map((line) => (line.trim() === "" ? " ." : ` ${line.trimEnd()}`))
    .join("\n");

const licenceFile = (name: string) => readFileSync(join(projectDir, name), "utf8").trim();
/** The text of the MIT licence without a holder. */
const mit = (text: string) => text.slice(text.indexOf("Permission is hereby granted"));
const holders = (text: string) =>
  [...text.matchAll(/^copyright.*$/gim)].map(([line]) => line.replace(/^copyright (\(c\) )?/i, ""));

/** The copyright file. */
export function copyright(): string {
  const bsd = licenceFile("LICENSE-BSD-3-CLAUSE");
  const packages = bundledPackages();
  const mitText = mit(packages.find(({ name }) => name === "citty")?.licenceText ?? "");
  if (mitText === "") throw new Error("the licence file of citty has no text of the MIT licence");
  const linked = runtimeLibraries().map(
    ({ name, licence, source }) => `${name}: ${licence ?? "several licences"}, ${source}`,
  );
  return `${[
    `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: framepass
Comment:
${continued(`usr/bin/framepass contains the runtime Bun ${runtime.version}, ${runtime.source}, and the npm packages
below. Bun links these libraries statically:
${linked.join("\n")}
The text of the LGPL is in /usr/share/common-licenses/LGPL-2 and LGPL-2.1.
LICENSE.md of Bun says how to link Bun with a changed JavaScriptCore;
"bun run package" then makes this package with it.`)}`,
    `Files: *
Copyright: ${holders(bsd).join("\n ")}
License: Apache-2.0 or BSD-3-Clause`,
    ...packages.map(
      ({ name, version, licence, licenceText }) => `Files: node_modules/${name}/*
Copyright: ${holders(licenceText).join("\n ")}
License: ${licence}-${name}
${continued(licenceText)}
Comment: ${name} ${version}`,
    ),
    `Files: bun
Copyright: the authors of Bun, ${runtime.source}
License: MIT
${continued(mitText)}`,
    `License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.`,
    `License: BSD-3-Clause
${continued(bsd)}`,
  ].join("\n\n")}\n`;
}

/** What lintian must not report, each with its reason. */
export const lintianOverrides = `# The runtime carries these libraries; it cannot be linked with those of Debian.
framepass: embedded-library *
# strip removes framepass from the executable, and leaves the runtime alone.
framepass: unstripped-binary-or-object *
`;

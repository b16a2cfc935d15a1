// The executable with glibc 2.31, where libc.so.6 is a link to libc-2.31.so and dlopen is in libdl.so.2: in the user land of
// Debian 11, entered by chroot. It shows nothing about Debian 11's kernel, the guest has the lab's.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cachedDir, hostCommand } from "../debian.ts";
import type { Scenario } from "../lab.ts";
import { unpackRelease } from "../other-release.ts";
import { wanted } from "../wanted.ts";

const frames = 20;
const packages = ["libc6", "libturbojpeg0"];
const libraries = "debian-11/usr/lib/x86_64-linux-gnu";
const tool = "chroot debian-11 /dist/framepass";

export const scenario: Scenario = {
  name: "old-libc",
  title: "the executable starts and works with the C library of Debian 11",
  seconds: 14,
  besideOthers: true,
  async run(lab) {
    const system = await cachedDir("debian-11", (root) =>
      unpackRelease({ release: "bullseye", packages }, root),
    );
    const guest = await lab.boot({});
    const root = join(guest.share, "debian-11");
    await hostCommand(["cp", "-a", system, root]);
    for (const name of ["dev", "dist", "proc", "tmp"]) mkdirSync(join(root, name));
    await guest.ok("for d in dev dist proc; do mount --bind /$d debian-11/$d || exit; done");
    await guest.ok("mount -t tmpfs tmp debian-11/tmp");
    await lab.check("the C library there is glibc 2.31", async () => {
      const version = "chroot debian-11 /lib/x86_64-linux-gnu/libc.so.6";
      return (await guest.ok(version)).includes("version 2.31");
    });
    await lab.check("framepass --version", async () =>
      (await guest.ok(`${tool} --version`)).startsWith("framepass "),
    );
    await lab.check("a stream over a Unix socket, every frame verified", async () => {
      const socket = "unix:/tmp/stream";
      const receiver = guest.start(`${tool} receiver -l ${socket} --verify --stats 0`);
      await guest.until("test -S debian-11/tmp/stream");
      await guest.ok(`${tool} sender -d testsrc -r 60 -n ${frames} -a ${socket} --stats 0`);
      const { status, stderr } = await receiver.result;
      wanted("exit status of the receiver", status, 0);
      return stderr.includes(`verified ${frames} frames`);
    });
    await lab.check("a library that is missing: one line that names it, exit 3", async () => {
      const { status, stderr } = await guest.run(`${tool} receiver_sdl -l unix:/tmp/window`);
      wanted("exit status", status, 3);
      return /^receiver_sdl: libSDL2-2\.0\.so\.0 not found.*\n$/.test(stderr);
    });
    // SDL2 and all it needs is large: another library under its name is opened as well, and lacks its functions.
    await lab.check("a library that is there is opened, and its functions looked up", async () => {
      await guest.ok(`cp ${libraries}/libturbojpeg.so.0 ${libraries}/libSDL2-2.0.so.0`);
      const { status, stderr } = await guest.run(`${tool} receiver_sdl -l unix:/tmp/window`);
      wanted("exit status", status, 3);
      return /^receiver_sdl: libSDL2-2\.0\.so\.0 is too old: it has no SDL_\w+; install a newer/.test(
        stderr,
      );
    });
  },
};

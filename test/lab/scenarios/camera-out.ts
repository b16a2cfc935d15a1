// A camera on the other side: receivers write into vivid's output and into v4l2loopback nodes, other programs read them.

import { join } from "node:path";
import { checkCompliance, checkReaders } from "../camera/applications.ts";
import { checkChanges } from "../camera/changes.ts";
import { checkDemand } from "../camera/demand.ts";
import { checkFaults } from "../camera/faults.ts";
import { checkNodes } from "../camera/nodes.ts";
import { checkVanish } from "../camera/vanish.ts";
import { checkVividLoop, vividLoop } from "../camera/vivid-loop.ts";
import type { Lab, Scenario } from "../lab.ts";
import { buildStatic, loopbackModule } from "../modules.ts";

const packages = ["ffmpeg", "gstreamer1.0-tools", "gstreamer1.0-plugins-good", "libswscale6"];
const removeNode = join(import.meta.dir, "../camera/remove-node.c");

export const scenario: Scenario = {
  name: "camera-out",
  title: "programs read a receiver's camera, whatever happens to its sender",
  seconds: 150,
  limitMs: 600_000,
  async run(lab) {
    // vivid's own threads must be in time, so that its guest has a processor for itself.
    await checkVivid(lab);
    // At the same time: most of it is waiting.
    await Promise.all([
      checkLoopback(lab, "trixie", "v4l2loopback of Debian 13", "TERM"),
      checkLoopback(lab, "bookworm", "v4l2loopback 0.13", "INT"),
    ]);
  },
};

async function checkVivid(lab: Lab): Promise<void> {
  await using guest = await lab.boot({
    name: "vivid",
    modules: [vividLoop],
    packages: ["libswscale6"],
  });
  await checkVividLoop(lab, guest);
  await checkVanish(lab, guest);
}

/** `signal` ends receivers: both signals take the same way, so that one for each release is enough. */
async function checkLoopback(
  lab: Lab,
  release: "trixie" | "bookworm",
  name: string,
  signal: "INT" | "TERM",
): Promise<void> {
  const guest = await lab.boot({
    name: release,
    modules: [`${await loopbackModule(release)} devices=0 max_buffers=8`],
    packages,
    files: { "/usr/bin/remove-node": await buildStatic(removeNode) },
    memoryMib: 2048,
  });
  await checkReaders(lab, guest, name);
  await checkCompliance(lab, guest, name);
  await checkChanges(lab, guest, name);
  await checkDemand(lab, guest, name);
  await checkFaults(lab, guest, name);
  await checkNodes(lab, guest, name, signal);
}

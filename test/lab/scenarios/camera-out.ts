// A camera on the other side: receivers write into vivid's output and into v4l2loopback nodes, other programs read them.

import { checkCompliance, checkReaders } from "../camera/applications.ts";
import { checkChanges, checkDemand } from "../camera/changes.ts";
import { checkNodes } from "../camera/nodes.ts";
import { checkVividLoop, vividLoop } from "../camera/vivid-loop.ts";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { loopbackModule } from "../modules.ts";

const packages = ["ffmpeg", "gstreamer1.0-tools", "gstreamer1.0-plugins-good", "libswscale6"];
const releases = { trixie: "v4l2loopback of Debian 13", bookworm: "v4l2loopback 0.13" } as const;

export const scenario: Scenario = {
  name: "camera-out",
  title: "programs read a receiver's camera, whatever happens to its sender",
  limitMs: 600_000,
  async run(lab) {
    // Both at the same time: most of it is waiting.
    const [trixie, bookworm] = await Promise.all([boot(lab, "trixie"), boot(lab, "bookworm")]);
    await Promise.all([
      checkNewer(lab, trixie, releases.trixie),
      checkOlder(lab, bookworm, releases.bookworm),
    ]);
  },
};

async function boot(lab: Lab, release: keyof typeof releases): Promise<Guest> {
  return lab.boot({
    name: release,
    modules: [`${await loopbackModule(release)} devices=0 max_buffers=8`, vividLoop],
    packages,
    memoryMib: 2048,
    lifeMs: 600_000,
  });
}

async function checkNewer(lab: Lab, guest: Guest, name: string): Promise<void> {
  await checkVividLoop(lab, guest);
  await checkCompliance(lab, guest, name);
  await checkChanges(lab, guest, name);
  await checkDemand(lab, guest, name);
  await checkNodes(lab, guest, name);
}

async function checkOlder(lab: Lab, guest: Guest, name: string): Promise<void> {
  await checkReaders(lab, guest, name);
  await checkCompliance(lab, guest, name);
  await checkChanges(lab, guest, name);
  await checkDemand(lab, guest, name);
  await checkNodes(lab, guest, name);
}

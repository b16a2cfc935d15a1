// A camera on the other side: receivers write into vivid's output and into v4l2loopback nodes, other programs read them.

import { checkApplications } from "../camera/applications.ts";
import { checkChanges, checkDemand } from "../camera/changes.ts";
import { checkNodes } from "../camera/nodes.ts";
import { checkVividLoop, vividLoop } from "../camera/vivid-loop.ts";
import type { Scenario } from "../lab.ts";
import { loopbackModule } from "../modules.ts";

const packages = ["ffmpeg", "gstreamer1.0-tools", "gstreamer1.0-plugins-good", "libswscale6"];
const releases = { trixie: "v4l2loopback of Debian 13", bookworm: "v4l2loopback 0.13" } as const;

export const scenario: Scenario = {
  name: "camera-out",
  title: "programs read a receiver's camera, whatever happens to its sender",
  limitMs: 900_000,
  async run(lab) {
    for (const release of ["trixie", "bookworm"] as const) {
      const guest = await lab.boot({
        name: release,
        modules: [`${await loopbackModule(release)} devices=0 max_buffers=8`, vividLoop],
        packages,
        memoryMib: 3072,
        lifeMs: 600_000,
      });
      const name = releases[release];
      if (release === "trixie") await checkVividLoop(lab, guest);
      await checkApplications(lab, guest, name);
      await checkChanges(lab, guest, name);
      await checkDemand(lab, guest, name);
      await checkNodes(lab, guest, name);
    }
  },
};

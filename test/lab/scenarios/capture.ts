// A real capture driver and our sender: every memory type, layout and format, then every fault.

import { checkDevices } from "../capture/devices.ts";
import { checkFaults } from "../capture/faults.ts";
import { checkLatest } from "../capture/latest.ts";
import { checkPictures } from "../capture/pictures.ts";
import type { Scenario } from "../lab.ts";

export const scenario: Scenario = {
  name: "capture",
  title: "what a camera captures arrives, whatever its buffers are and whatever goes wrong",
  seconds: 190,
  limitMs: 400_000,
  besideOthers: true,
  async run(lab) {
    // video0 takes foreign buffers; video1 refuses them at QBUF and has an HDMI input, number 1; video2
    // has the multi-planar API.
    const guest = await lab.boot({
      modules: [
        "vivid n_devs=3 node_types=0x1,0x1,0x1 num_inputs=1,2,1 input_types=0,0xc,0 " +
          "allocators=0,1,0 multiplanar=1,1,2",
      ],
    });
    await guest.ok("for d in 0 1 2; do v4l2-ctl -d$d --set-ctrl=osd_text_mode=2; done");
    await checkDevices(lab, guest);
    await checkPictures(lab, guest);
    await checkFaults(lab, guest);
    await checkLatest(lab, guest);
  },
};

// Zero copy into an output device: the buffers of a camera are shown where they are.
import { checkZeroCopyOutput } from "../camera/zero-copy.ts";
import type { Scenario } from "../lab.ts";

/** Two cameras, and an HDMI output that is looped into an HDMI capture node. */
const vivid =
  "vivid n_devs=3 node_types=0x1,0x1,0x101 allocators=0,1,0 num_inputs=1,1,1 input_types=0,0,3 num_outputs=1,1,1 output_types=1,1,1 no_error_inj=1,1,1";

export const scenario: Scenario = {
  name: "zc-output",
  title: "zero copy from a camera into a video output, also when the sender is killed",
  seconds: 56,
  limitMs: 240_000,
  async run(lab) {
    const guest = await lab.boot({ modules: [vivid] });
    await checkZeroCopyOutput(lab, guest, [
      { device: 0, kind: "vmalloc" },
      { device: 1, kind: "dma-contig" },
    ]);
  },
};

// share: creates the host file in which two guests share frames (--share dax).
import { resolve } from "node:path";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import { createShareFile, LEAST_FILE, qemuOptions } from "../src/share/nvdimm.ts";
import { REGION_UNIT } from "../src/share/region.ts";
import { toolRow } from "./tool-rows.ts";

export const share = defineTool({
  ...toolRow("share"),
  examples: [
    {
      does: "make a file for two guests, and print QEMU's options for both",
      line: "share create /dev/shm/frames --size 128M",
    },
    {
      does: "the same for pictures of 3840x2160, which need more",
      line: "share create /dev/shm/frames --size 512M",
    },
  ],
  operands: {
    action: {
      type: "choice",
      choices: ["create"],
      default: "create",
      required: true,
      value: "ACTION",
      help: "create makes the file and prints QEMU's options for both guests",
    },
    file: {
      type: "text",
      required: true,
      value: "FILE",
      help: "path of the new file; it must not exist",
    },
  },
  options: {
    size: {
      short: "s",
      type: "size",
      min: LEAST_FILE,
      max: 4 * 1024 ** 3,
      default: 128 * 1024 ** 2,
      help: "size of the file, a multiple of 2M; the first 2M describe the device to the kernel",
    },
  },
  async run({ file, size }) {
    if (size % REGION_UNIT !== 0) throw new UsageError("--size must be a multiple of 2M");
    const path = resolve(file);
    createShareFile(path, size);
    const { sender, receiver } = qemuOptions(path, size);
    await printOut(`sender:   ${sender}\nreceiver: ${receiver}`);
    return "done";
  },
});

if (import.meta.main) await runMain(share);

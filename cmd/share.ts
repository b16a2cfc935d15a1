// share: what this machine offers for sharing frames, and the host file in which two guests share them (--share dax).
import { resolve } from "node:path";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import { qemuOptions } from "../src/share/monitors.ts";
import { createShareFile, LEAST_FILE } from "../src/share/nvdimm.ts";
import { REGION_UNIT } from "../src/share/region.ts";
import { shareStatus, statusRecord, statusText } from "../src/share/status.ts";
import { openVideoDevice } from "../src/v4l2/device.ts";
import { findNode } from "../src/v4l2/find-node.ts";
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
    {
      does: "show which ways to share this machine offers, and what the others lack",
      line: "share status",
    },
  ],
  operands: {
    action: {
      type: "choice",
      choices: ["create", "status"],
      required: true,
      value: "ACTION",
      help: "create makes the file and prints QEMU's options for both guests; status shows which ways to share this machine offers, and what the others lack",
    },
    file: {
      type: "text",
      value: "FILE",
      completes: { files: "all" },
      help: "with create: path of the new file; it must not exist",
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
    device: {
      short: "d",
      type: "text",
      default: "/dev/video0",
      value: "DEVICE",
      completes: { globs: ["/dev/video*"] },
      help: "with status: the device whose driver may have the ioctls of --share virtio-media",
    },
    region: {
      short: "R",
      type: "text",
      value: "PATH",
      completes: { globs: ["/dev/dax*"] },
      help: "with status: the dax device; without it the first one in /dev",
    },
    json: { type: "flag", help: "with status: one JSON object per way on stdout" },
  },
  async run({ action, file, size, device, region, json }) {
    if (action === "status") {
      if (file !== undefined) throw new UsageError(`unexpected word "${file}"`);
      const openDevice = () => openVideoDevice(findNode(device, ["camera"]));
      const found = shareStatus({ device, openDevice, region });
      await printOut(
        json ? found.map(statusRecord).join("\n") : found.map(statusText).join("\n\n"),
      );
      return "done";
    }
    if (file === undefined) throw new UsageError("FILE is missing");
    if (size % REGION_UNIT !== 0) throw new UsageError("--size must be a multiple of 2M");
    const path = resolve(file);
    createShareFile(path, size);
    const { sender, receiver } = qemuOptions(path, size);
    await printOut(`sender:   ${sender}\nreceiver: ${receiver}`);
    return "done";
  },
});

if (import.meta.main) await runMain(share);

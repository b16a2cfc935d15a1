// share: what this machine offers for sharing frames, and the host file in which two guests share them (--share dax).
import { resolve } from "node:path";
import { deviceFiles } from "../src/cli/device-files.ts";
import { log } from "../src/cli/log.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import {
  type Monitor,
  monitorNamed,
  monitors,
  type ShareFile,
  sides,
} from "../src/share/monitors.ts";
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
      does: "the same for pictures of 3840x2160, which need more, in the XML of libvirt's domains",
      line: "share create /dev/shm/frames --size 512M --for libvirt",
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
      help: "create makes the file and prints the options of the virtual machine monitor for both guests; status shows which ways to share this machine offers, and what the others lack",
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
    for: {
      type: "choice",
      choices: monitors.map(({ name }) => name),
      default: "qemu",
      value: "MONITOR",
      help: "with create: print the options of this virtual machine monitor",
    },
    device: {
      short: "d",
      type: "text",
      default: "/dev/video0",
      value: "DEVICE",
      completes: deviceFiles.video,
      help: "with status: the device whose driver may have the ioctls of --share virtio-media",
    },
    region: {
      short: "R",
      type: "text",
      value: "PATH",
      completes: deviceFiles.dax,
      help: "with status: the dax device; without it the first one in /dev",
    },
    json: { type: "flag", help: "one JSON object on stdout per way (status) or guest (create)" },
  },
  async run({ action, file, size, for: name, device, region, json }) {
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
    const monitor = monitorNamed(name);
    const shared = { path: resolve(file), size };
    const text = guestText(monitor, shared, json); // a path that the monitor cannot be given is refused before the file is made
    createShareFile(shared.path, size);
    await printOut(text);
    if (monitor.note !== undefined) log.warn(`${monitor.note}; docs/monitors.md`);
    return "done";
  },
});

/** What is printed for both guests: "sender:" and "receiver:" begin their parts. */
function guestText(monitor: Monitor, file: ShareFile, json: boolean): string {
  const guests = sides.map((side) => ({ side, config: monitor.guest(side, file) }));
  if (json) {
    const record = { record: "guest", monitor: monitor.name };
    return guests.map((guest) => JSON.stringify({ ...record, ...guest })).join("\n");
  }
  return guests
    .map(({ side, config }) =>
      config.includes("\n") ? `${side}:\n${config}` : `${`${side}:`.padEnd(9)} ${config}`,
    )
    .join("\n");
}

if (import.meta.main) await runMain(share);

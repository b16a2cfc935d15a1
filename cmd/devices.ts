// devices: lists the cameras, outputs, decoders and encoders of this machine, and the tool that uses each.
import { captureFiles } from "../src/capture/capture-options.ts";
import { deviceFiles } from "../src/cli/device-files.ts";
import { log } from "../src/cli/log.ts";
import { ownProgram } from "../src/cli/own-program.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { askNodes } from "../src/devices/ask.ts";
import { examineNode } from "../src/devices/examine.ts";
import { findHolders } from "../src/devices/holders.ts";
import type { DeviceReport } from "../src/devices/report.ts";
import { deviceText, type ListedDevice } from "../src/devices/table.ts";
import { UnavailableError, UsageError } from "../src/errors.ts";
import { findNode, linksTo, videoNodes } from "../src/v4l2/find-node.ts";
import { allKinds } from "../src/v4l2/kinds.ts";
import { toolRow } from "./tool-rows.ts";

export const devices = defineTool({
  ...toolRow("devices"),
  examples: [
    { does: "list everything", line: "devices" },
    { does: "one camera with its controls", line: "devices /dev/video0 --controls" },
  ],
  files: captureFiles,
  operands: {
    node: {
      type: "text",
      value: "DEVICE",
      completes: deviceFiles.video,
      help: "the same as --device",
    },
  },
  options: {
    device: {
      short: "d",
      type: "text",
      value: "DEVICE",
      completes: deviceFiles.video,
      help: "only this one: node, by-id name or card name",
    },
    controls: {
      type: "flag",
      help: "also the controls, as -c of a sender takes them, with their values and ranges",
    },
    json: { type: "flag", help: "one JSON object per device on stdout" },
    direct: {
      type: "flag",
      help: "ask in this process, not in one per device: a driver that hangs is waited for",
    },
  },
  async run({ node, device: named, controls, json, direct }, { loop, signal }) {
    if (node !== undefined && named !== undefined)
      throw new UsageError(`one device can be named, got "${node}" and --device "${named}"`);
    const device = node ?? named;
    const nodes = device === undefined ? videoNodes() : [findNode(device, allKinds)];
    if (nodes.length === 0) {
      log.info(
        "no video device here: connect a camera, or load a driver (modprobe vivid makes a virtual one); sender -d testsrc needs none",
      );
      return "done";
    }
    const words = (node: string) => [
      ...["--device", node, "--json", "--direct"],
      ...(controls ? ["--controls"] : []),
    ];
    const reports = direct
      ? nodes.map((node) => examineNode(node, { controls }))
      : await askNodes(loop, nodes, { program: ownProgram("devices"), words }, signal);
    if (signal.aborted) return "stopped";
    const failed = device === undefined ? undefined : reports.find(({ problem }) => problem);
    const listed = withSurroundings(reports);
    if (json) await printOut(listed.map(asRecord).join("\n"));
    else if (failed === undefined) await printOut(listed.map(deviceText).join("\n\n"));
    if (failed !== undefined)
      throw new UnavailableError(
        `${failed.node}: ${failed.problem}; framepass devices lists what is here`,
      );
    return "done";
  },
});

/** Adds what the nodes themselves do not know: their names in /dev/v4l and the programs that have them open. */
function withSurroundings(reports: readonly DeviceReport[]): readonly ListedDevice[] {
  const holders = findHolders(reports.map(({ node }) => node));
  if (holders.partial)
    log.info("programs of other users are not shown as users of a device: run as root to see them");
  return reports.map((report) => ({
    ...report,
    ...linksTo(report.node),
    usedBy: holders.of.get(report.node) ?? [],
  }));
}

const asRecord = (device: ListedDevice) => JSON.stringify({ record: "device", ...device });

if (import.meta.main) await runMain(devices);

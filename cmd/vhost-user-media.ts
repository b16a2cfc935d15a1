// vhost-user-media: serves a virtio-media camera to a virtual machine monitor.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { bootMs } from "../ffi/clock.ts";
import { captureFiles, captureOptions } from "../src/capture/capture-options.ts";
import { inGroup } from "../src/cli/groups.ts";
import { ownProgram } from "../src/cli/own-program.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import { usualFormats } from "../src/media/made-offers.ts";
import { createMediaDevice } from "../src/media/media-device.ts";
import { cameraCapabilities } from "../src/vhost/server.ts";
import { openMediaSource } from "./media-source.ts";
import { mediaStreamOptions, openMediaStream, wantsStream } from "./media-stream.ts";
import { toolRow } from "./tool-rows.ts";
import {
  daemonStatsOptions,
  frontEndOptions,
  frontEndPlace,
  frontEndVariables,
  serveDaemon,
} from "./vhost-user-daemon.ts";

/** Bytes of the card's name in the config space, without the NUL at its end. */
const LONGEST_CARD = 31;
const MIB = 1 << 20;
const LEAST_MIB = 16;
const MOST_MIB = 4096;

export const vhostUserMedia = defineTool({
  ...toolRow("vhost-user-media"),
  examples: [
    {
      does: "give a guest the built-in source as its camera",
      line: "vhost-user-media -s /run/camera.sock -d testsrc",
    },
    {
      does: "give a guest a camera of this host, without its controls",
      line: "vhost-user-media -s /run/camera.sock -d /dev/video0 --no-controls",
    },
    {
      does: "give a guest what another guest's sender sends to port 5000",
      line: "vhost-user-media -s /run/camera.sock -p 5000",
    },
  ],
  files: captureFiles,
  environment: frontEndVariables,
  options: {
    ...frontEndOptions,
    device: captureOptions.device,
    ...mediaStreamOptions,
    ...inGroup("camera", {
      card: {
        type: "text",
        default: "framepass camera",
        value: "NAME",
        help: `what programs in the guest call the camera, up to ${LONGEST_CARD} bytes`,
      },
      formats: {
        type: "text",
        value: "NAME,...",
        completes: { words: usualFormats },
        help: "pixel formats to offer, in this order; all that the source has without it",
      },
      "no-controls": {
        type: "flag",
        help: "hide the controls of the host's camera from the guest",
      },
      memory: {
        type: "text",
        default: "256M",
        pattern: [/^(?:0|\d{1,4}[MG])$/, "a number with M or G, like 256M, or 0"],
        value: "SIZE",
        help: `memory of all buffers that the guest maps, a power of two, ${LEAST_MIB}M to ${MOST_MIB / 1024}G; 0: the guest has buffers of its own (USERPTR)`,
      },
    }),
    "print-capabilities": {
      type: "flag",
      group: "general",
      help: "print the capabilities of this back-end as JSON, and end",
    },
    ...daemonStatsOptions,
  },
  async run(values, context) {
    if (values["print-capabilities"]) {
      await printOut(cameraCapabilities());
      return "done";
    }
    const { device, card, memory } = values;
    const formats = values.formats?.split(",");
    const memoryBytes = readMemory(memory);
    if (Buffer.byteLength(card) > LONGEST_CARD)
      throw new UsageError(`--card must have ${LONGEST_CARD} bytes at most, got "${card}"`);
    using owned = new DisposableStack();
    const place = await frontEndPlace(context, values, owned);
    if (place === undefined) return "done";
    // Before anyone can connect: what is wrong with the source is said at the start.
    const stream = wantsStream(values) ? openMediaStream(values, formats) : undefined;
    const controls = !values["no-controls"];
    const source = owned.use(stream?.source ?? openMediaSource(device, { formats, controls }));
    const from = stream?.words ?? ["--device", fromAnywhere(device)];
    const serving = serveDaemon(
      context,
      place,
      {
        program: ownProgram("vhost-user-media"),
        words: [
          ...[...from, "--card", card, "--memory", memory],
          ...(controls ? [] : ["--no-controls"]),
          ...(formats === undefined ? [] : ["--formats", formats.join(",")]),
        ],
        about: { source: source.name, card },
        ahead: false,
        makeDevice: () => createMediaDevice({ source, card, memoryBytes, now: bootMs }),
        release: () => source[Symbol.dispose](),
      },
      values,
    );
    // A process that only listens for front-ends leaves the senders to those that it starts.
    const servesOne = place.inherited?.listening === false;
    await (servesOne && stream !== undefined ? stream.whileServing(context, serving) : serving);
    return "done"; // also after SIGTERM, which is how a monitor ends its back-end
  },
});

/** The bytes of --memory. Throws UsageError. */
function readMemory(text: string): number {
  if (text === "0") return 0;
  const count = Number(text.slice(0, -1)) * (text.endsWith("G") ? 1024 : 1);
  const power = (count & (count - 1)) === 0;
  if (power && count >= LEAST_MIB && count <= MOST_MIB) return count * MIB;
  throw new UsageError(
    `--memory must be a power of two, ${LEAST_MIB}M to ${MOST_MIB / 1024}G, got ${text}`,
  );
}

/** A path in the current folder works in the process of a front-end, too, which runs in "/". */
const fromAnywhere = (device: string) => (existsSync(device) ? resolve(device) : device);

if (import.meta.main) await runMain(vhostUserMedia);

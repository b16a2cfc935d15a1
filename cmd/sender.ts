// sender: captures and sends over TCP, a Unix socket or vsock.
import { memoryTypes } from "../src/capture/camera.ts";
import { openSource } from "../src/capture/open.ts";
import { defineTool, runMain } from "../src/cli.ts";
import { DEFAULT_HEAP } from "../src/memory.ts";
import { parseAddress } from "../src/wire/address.ts";
import { addressOptions, statsOptions } from "../src/wire/options.ts";
import { runSender } from "../src/wire/sender.ts";

export const sender = defineTool({
  name: "sender",
  summary: "capture video and send its frames to a receiver",
  options: {
    device: {
      short: "d",
      type: "text",
      default: "/dev/video0",
      value: "PATH",
      help: "V4L2 node, raw or .y4m recording, testsrc, testsrc:bars or testsrc:gradient",
    },
    ...addressOptions.connect,
    width: { short: "W", type: "integer", min: 1, max: 16384, default: 640, help: "pixels" },
    height: { short: "H", type: "integer", min: 1, max: 16384, default: 480, help: "pixels" },
    format: {
      short: "f",
      type: "text",
      pattern: [/^[ -~]{1,4}$/, "1 to 4 characters"],
      default: "YUYV",
      value: "FOURCC",
      help: "pixel format, as v4l2-ctl --list-formats names it",
    },
    buffers: { short: "b", type: "integer", min: 1, max: 64, default: 4, help: "capture buffers" },
    frames: {
      short: "n",
      type: "integer",
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      help: "end after so many frames",
    },
    heap: {
      short: "e",
      type: "text",
      default: DEFAULT_HEAP,
      value: "PATH",
      help: "DMA heap for --memory dmabuf",
    },
    memory: {
      short: "m",
      type: "choice",
      choices: memoryTypes,
      default: "auto",
      help: "who makes the buffers",
    },
    fps: {
      short: "r",
      type: "number",
      min: 0,
      max: 1000,
      help: "frames per second; 0, testsrc only: as fast as it goes",
    },
    latest: { type: "flag", help: "when frames wait, send only the newest" },
    reconnect: { type: "flag", help: "try again when the connection is refused or lost" },
    ...statsOptions,
  },
  run(values, { loop, signal }) {
    const address = parseAddress("--address", values.address, values.port);
    return runSender(
      loop,
      {
        openSource: () => openSource(values.device, values),
        address,
        connectTimeoutMs: values["connect-timeout"],
        latest: values.latest,
        reconnect: values.reconnect,
        frames: values.frames,
        stats: values.stats,
        json: values.json,
      },
      signal,
    );
  },
});

if (import.meta.main) await runMain(sender);

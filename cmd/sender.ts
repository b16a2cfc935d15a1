// sender: captures frames and sends them over TCP, a Unix socket or vsock.
import { memoryTypes } from "../src/capture/camera.ts";
import { captureFiles, captureOptions } from "../src/capture/capture-options.ts";
import { openSource } from "../src/capture/open.ts";
import { openPipeInput } from "../src/capture/pipe-input.ts";
import { inGroup } from "../src/cli/groups.ts";
import { notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { heapOption } from "../src/frame/heap-option.ts";
import { heapFiles } from "../src/frame/memory.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { sendFrames } from "../src/stream/copy/send.ts";
import { feedReceivers } from "../src/stream/feed.ts";
import { readSenderOptions, senderOptions } from "../src/stream/sender-options.ts";
import { addressOptions } from "../src/stream/stream-options.ts";
import { listFormats } from "./list-formats.ts";
import { toolRow } from "./tool-rows.ts";

export const sender = defineTool({
  ...toolRow("sender"),
  examples: [
    {
      does: "send a camera to the receiver on another machine",
      line: "sender -d /dev/video0 -W 1280 -H 720 -f MJPG -a 10.0.0.2 -p 5000",
    },
    {
      does: "send the built-in source, without a camera, and connect again when it is lost",
      line: "sender -d testsrc -a 10.0.0.2 -p 5000 --reconnect",
    },
    {
      does: "show what a camera offers",
      line: "sender -d /dev/video0 --list-formats",
    },
  ],
  files: [...captureFiles, ...heapFiles],
  environment: notifyVariables,
  options: {
    ...captureOptions,
    ...addressOptions.connect,
    ...inGroup("capture", {
      heap: heapOption("DMA heap for --memory dmabuf"),
      memory: {
        short: "m",
        type: "choice",
        choices: memoryTypes,
        default: "auto",
        help: "who allocates the buffers: DMA heap or driver; auto tries dmabuf, then mmap",
      },
      latest: { type: "flag", help: "if several frames wait, send only the newest" },
    }),
    ...senderOptions,
  },
  async run(values, { loop, signal }) {
    if (values["list-formats"]) return await listFormats(values.device);
    const { latest } = values;
    const sending = readSenderOptions(values);
    using pipe = await openPipeInput(loop, values.device, signal);
    const look = { tool: "sender", pictures: false };
    using metrics = await openMetrics(loop, values.metrics, look, signal);
    if (signal.aborted) return "stopped";
    return await feedReceivers(
      loop,
      {
        ...sending,
        metrics,
        open: (owned) => ({ source: owned.use(openSource(values.device, { ...values, pipe })) }),
        send: ({ source }, run) => sendFrames({ ...run, source, latest }),
      },
      signal,
    );
  },
});

if (import.meta.main) await runMain(sender);

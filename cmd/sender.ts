// sender: captures frames and sends them over TCP, a Unix socket or vsock.
import { memoryTypes } from "../src/capture/camera.ts";
import { captureOptions } from "../src/capture/capture-options.ts";
import { openSource } from "../src/capture/open.ts";
import { openPipeInput } from "../src/capture/pipe-input.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { DEFAULT_HEAP } from "../src/frame/memory.ts";
import { sendFrames } from "../src/stream/copy/send.ts";
import { feedReceivers } from "../src/stream/feed.ts";
import { readSenderOptions, senderOptions } from "../src/stream/sender-options.ts";
import { addressOptions } from "../src/stream/stream-options.ts";
import { listFormats } from "./list-formats.ts";
import { toolRow } from "./tool-rows.ts";

export const sender = defineTool({
  ...toolRow("sender"),
  options: {
    ...captureOptions,
    ...addressOptions.connect,
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
      help: "who allocates the buffers: DMA heap or driver; auto tries dmabuf, then mmap",
    },
    latest: { type: "flag", help: "if several frames wait, send only the newest" },
    ...senderOptions,
  },
  async run(values, { loop, signal }) {
    if (values["list-formats"]) return await listFormats(values.device);
    const { latest } = values;
    const sending = readSenderOptions(values);
    using pipe = await openPipeInput(loop, values.device, signal);
    if (signal.aborted) return "stopped";
    return await feedReceivers(
      loop,
      {
        ...sending,
        open: (owned) => ({ source: owned.use(openSource(values.device, { ...values, pipe })) }),
        send: ({ source }, run) => sendFrames({ ...run, source, latest }),
      },
      signal,
    );
  },
});

if (import.meta.main) await runMain(sender);

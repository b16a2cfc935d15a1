// receiver: receives frames into memory, and from there writes them to a file or pipe, or checks them.
import { inGroup } from "../src/cli/groups.ts";
import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { heapOption } from "../src/frame/heap-option.ts";
import { type Allocator, heapFiles, openReceiveMemory } from "../src/frame/memory.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { cameraFiles } from "../src/output/camera/camera-options.ts";
import { MemoryTarget } from "../src/stream/copy/memory-target.ts";
import { receiveFrames } from "../src/stream/copy/receive.ts";
import {
  readReceiverOptions,
  receiverOptions,
  severalOptions,
} from "../src/stream/receiver-options.ts";
import { serveOneOrSeveral } from "../src/stream/serve-one-or-several.ts";
import { toolRow } from "./tool-rows.ts";

/** The options that it has in common with receiver_sdl. */
export const copyReceiverOptions = {
  ...receiverOptions,
  ...inGroup("output", {
    heap: heapOption("DMA heap for the buffers; if the default heap is missing, memfd is used"),
  }),
};

export const receiver = defineTool({
  ...toolRow("receiver"),
  examples: [
    { does: "record what a sender sends", line: "receiver -p 5000 -o film.y4m" },
    {
      does: "make it a camera for browsers and video calls",
      line: 'receiver -p 5000 --camera "Guest A" --keep',
    },
    {
      does: "record up to four senders at a time, each in a file of its own",
      line: "receiver -p 5000 --senders 4 --keep -o 'cam-%n.y4m'",
    },
    {
      does: "pipe the frames of a sender with -f MJPG into another program",
      line: "receiver -p 5000 -o - | ffplay -f mjpeg -",
    },
  ],
  files: [...cameraFiles, ...heapFiles],
  environment: [...listenVariables, ...notifyVariables],
  options: { ...copyReceiverOptions, ...severalOptions },
  async run(values, { loop, signal }) {
    using owned = new DisposableStack();
    const setup = readReceiverOptions(values, loop, owned);
    const look = { tool: "receiver", pictures: true };
    const metrics = owned.use(await openMetrics(loop, values.metrics, look, signal));
    let allocator: Allocator | undefined;
    const end = await serveOneOrSeveral(
      loop,
      setup,
      {
        metrics,
        prepare: async (stop) => {
          allocator = owned.use(await openReceiveMemory(values, () => setup.serving.prepare(stop)));
        },
        receive: (run, consumer) =>
          receiveFrames({
            ...run,
            maxFrame: values["max-frame"],
            openTarget: (stream, waiting) => {
              if (allocator === undefined) throw new Error("a stream before prepare was called");
              return new MemoryTarget(stream, { ...consumer, allocator }, waiting);
            },
          }),
      },
      signal,
    );
    return end === "stopped" ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiver);

// receiver_sdl: receiver with a window. A frame is received straight into a texture, unless the command line wants its
// bytes for more than the window.

import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { displayEnvironment, displayKeys, displayOptions } from "../src/display/display-options.ts";
import { openDisplay } from "../src/display/open.ts";
import { type Allocator, openReceiveMemory } from "../src/frame/memory.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { cameraFiles } from "../src/output/camera/camera-options.ts";
import { MemoryTarget } from "../src/stream/copy/memory-target.ts";
import { receiveFrames } from "../src/stream/copy/receive.ts";
import { readReceiverOptions } from "../src/stream/receiver-options.ts";
import { serveSenders } from "../src/stream/serve.ts";
import { copyReceiverOptions } from "./receiver.ts";
import { toolRow } from "./tool-rows.ts";

export const receiverSdl = defineTool({
  ...toolRow("receiver_sdl"),
  examples: [
    {
      does: "show what a sender sends, with rate and latency in the picture",
      line: "receiver_sdl -p 5000 --hud",
    },
    {
      does: "show one sender after the other in full screen, and record",
      line: "receiver_sdl -p 5000 --keep --fullscreen -o film.y4m",
    },
  ],
  keys: displayKeys,
  files: cameraFiles,
  environment: [...displayEnvironment, ...listenVariables, ...notifyVariables],
  options: { ...copyReceiverOptions, ...displayOptions },
  async run(values, context) {
    const { loop, signal } = context;
    const { "max-frame": maxFrame, given } = values;
    using owned = new DisposableStack();
    const { serving, consumer, checkOutputs } = readReceiverOptions(values, loop, owned);
    const look = { tool: "receiver_sdl", pictures: true };
    const metrics = owned.use(await openMetrics(loop, values.metrics, look, signal));
    const display = owned.use(await openDisplay("receiver_sdl", context, values));
    if (display === undefined) return "stopped";
    const reads = consumer.output !== undefined || consumer.checker !== undefined;
    const inMemory = given.has("heap") || reads;
    let allocator: Allocator | undefined;
    const end = await serveSenders(
      loop,
      {
        ...serving,
        metrics,
        ...display.serving(serving),
        prepare: async (stop) => {
          const prepare = () => serving.prepare(stop);
          if (inMemory) allocator = owned.use(await openReceiveMemory(values, prepare));
          else await prepare();
        },
        receive: (run) =>
          receiveFrames({
            ...run,
            maxFrame,
            openTarget: (stream, waiting) => {
              const openViewer = () => display.show(stream, maxFrame, run.captureTime);
              if (allocator === undefined) return openViewer();
              return new MemoryTarget(stream, { ...consumer, allocator, openViewer }, waiting);
            },
          }),
      },
      display.endedBy(signal),
    );
    checkOutputs();
    return display.outcome(end);
  },
});

if (import.meta.main) await runMain(receiverSdl);

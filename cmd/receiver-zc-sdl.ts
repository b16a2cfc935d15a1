// receiver_zc_sdl: receiver_zc with a window. A frame is returned to the sender as soon as it is in a texture, so the
// screen's refresh holds no buffer of the camera.

import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { displayEnvironment, displayKeys, displayOptions } from "../src/display/display-options.ts";
import { openDisplay } from "../src/display/open.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { importDescriptors } from "../src/share/fd.ts";
import { readReceiverOptions } from "../src/stream/receiver-options.ts";
import { serveSenders } from "../src/stream/serve.ts";
import { borrowFrames } from "../src/stream/zero-copy/borrow.ts";
import { openConsumer } from "../src/stream/zero-copy/view-target.ts";
import { warmUp } from "../src/stream/zero-copy/warm-up.ts";
import { borrowerOptions, importersFor, receiverZc } from "./receiver-zc.ts";
import { toolRow } from "./tool-rows.ts";

export const receiverZcSdl = defineTool({
  ...toolRow("receiver_zc_sdl"),
  examples: [
    {
      does: "show the frames of a sender_zc on the same machine",
      line: "receiver_zc_sdl -l unix:/run/frames",
    },
    {
      does: "show the frames of another guest of the host, through a shared region",
      line: "receiver_zc_sdl -p 5000 -R /dev/dax0.0 --hud",
    },
  ],
  keys: displayKeys,
  files: receiverZc.files ?? [],
  environment: [...displayEnvironment, ...listenVariables, ...notifyVariables],
  options: { ...borrowerOptions, ...displayOptions },
  async run(values, context) {
    const { loop, signal } = context;
    const { "max-frame": maxFrame } = values;
    using owned = new DisposableStack();
    const { address, serving, consumer, checkOutputs } = readReceiverOptions(values, loop, owned);
    const look = { tool: "receiver_zc_sdl", pictures: true };
    const metrics = owned.use(await openMetrics(loop, values.metrics, look, signal));
    const display = owned.use(await openDisplay("receiver_zc_sdl", context, values));
    if (display === undefined) return "stopped";
    const importers = importersFor(values, address, owned);
    const end = await serveSenders(
      loop,
      {
        ...serving,
        metrics,
        ...display.serving(serving),
        prepare: async (stop) => {
          display.prepare();
          await warmUp(loop, importDescriptors(), values.verify, stop);
          await serving.prepare(stop);
        },
        receive: (run) =>
          borrowFrames({
            ...run,
            maxFrame,
            importers,
            openView: openConsumer({
              ...consumer,
              openViewer: (stream) => display.show(stream, maxFrame, run.captureTime),
            }),
          }),
      },
      display.endedBy(signal),
    );
    checkOutputs();
    return display.outcome(end);
  },
});

if (import.meta.main) await runMain(receiverZcSdl);

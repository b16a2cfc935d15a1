// receiver_zc_sdl: what receiver_zc does, with the pictures in a window. A frame is handed back as soon as it is in a
// texture: the screen's refresh holds no buffer of the camera's.

import { joined } from "../src/cli/stats.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { Display } from "../src/display/display.ts";
import { displayOptions } from "../src/display/display-options.ts";
import { readReceiving } from "../src/stream/receiver-options.ts";
import { serveSenders } from "../src/stream/serve.ts";
import { borrowFrames } from "../src/stream/zero-copy/borrow.ts";
import { type OpenView, ReadingView } from "../src/stream/zero-copy/view-target.ts";
import { importersFor, receiverZc } from "./receiver-zc.ts";

export const receiverZcSdl = defineTool({
  name: "receiver_zc_sdl",
  summary: "show a sender's frames in a window, from where they are",
  options: { ...receiverZc.options, ...displayOptions },
  async run(values, { loop, signal }) {
    const { "max-frame": maxFrame } = values;
    using owned = new DisposableStack();
    const { address, serving, consumer } = readReceiving(values, loop, owned);
    const importers = importersFor(values, address, owned);
    const display = owned.use(new Display("receiver_zc_sdl", loop, values));
    const ending = AbortSignal.any([signal, display.closed]);
    const end = await serveSenders(
      loop,
      {
        ...serving,
        latency: display.latency,
        listening: (name) => {
          if (serving.keep) display.wait(["waiting for a sender", "", name]);
        },
        receive: (on, socket, { captureTime, ...hooks }, stop) => {
          const openView: OpenView = (stream, buffers, waiting) => {
            using made = new DisposableStack();
            const showing = made.use(display.show(stream, maxFrame));
            const view = made.use(
              new ReadingView(stream, buffers, waiting, {
                ...consumer,
                watch: (memory, frame) => showing.show(memory.address, frame, captureTime(frame)),
              }),
            );
            const parts = made.move();
            return {
              take: (index, frame) => view.take(index, frame),
              [Symbol.dispose]: () => parts.dispose(),
            };
          };
          const options = { maxFrame, stallMs: 10_000, importers, openView, ...hooks };
          return borrowFrames(on, socket, options, stop);
        },
        summary: (stats) => joined(serving.summary(stats), display.summary()),
      },
      ending,
    );
    return end === "stopped" && !display.closed.aborted ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverZcSdl);

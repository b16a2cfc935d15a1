// receiver_sdl: what receiver does, with the pictures in a window.

import { joined } from "../src/cli/stats.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { Display } from "../src/display/display.ts";
import { displayOptions } from "../src/display/display-options.ts";
import { type Allocator, receiveAllocator } from "../src/frame/memory.ts";
import { MemoryTarget } from "../src/stream/copy/memory-target.ts";
import type { FrameHeader } from "../src/stream/copy/messages.ts";
import type { OpenTarget } from "../src/stream/copy/target.ts";
import { readReceiving } from "../src/stream/receiver-options.ts";
import { runReceiver } from "../src/stream/serve.ts";
import { receiver } from "./receiver.ts";

export const receiverSdl = defineTool({
  name: "receiver_sdl",
  summary: "receive a sender's frames and show them in a window",
  options: { ...receiver.options, ...displayOptions },
  async run(values, { loop, signal }) {
    const { "max-frame": maxFrame } = values;
    using owned = new DisposableStack();
    const { serving, consumer } = readReceiving(values, loop, owned);
    const display = owned.use(new Display("receiver_sdl", loop, values));
    const ending = AbortSignal.any([signal, display.closed]);
    // Only who wants more of a frame than its picture gets it in memory first.
    const wantsHeap = values.given.has("heap");
    const inMemory = wantsHeap || values.output !== undefined || values.verify;
    let allocator: Allocator | undefined;
    const openTarget: OpenTarget = (stream, waiting, captureTime) => {
      using made = new DisposableStack();
      const showing = made.use(display.show(stream, maxFrame));
      const target =
        allocator === undefined
          ? {
              begin: ({ bytesused }: FrameHeader) => showing.receiveInto(bytesused),
              complete: (header: FrameHeader) => {
                showing.received(header.sequence, captureTime(header));
                return true;
              },
            }
          : made.use(
              new MemoryTarget(
                stream,
                {
                  ...consumer,
                  allocator,
                  watch: (memory, header) =>
                    showing.show(memory.address, header, captureTime(header)),
                },
                waiting,
              ),
            );
      const parts = made.move();
      return {
        begin: (header) => target.begin(header),
        complete: (header) => target.complete(header),
        [Symbol.dispose]: () => parts.dispose(),
      };
    };
    const end = await runReceiver(
      loop,
      {
        ...serving,
        maxFrame,
        latency: display.latency,
        openTarget,
        prepare: async (stop) => {
          if (inMemory) allocator = owned.use(receiveAllocator(values.heap, wantsHeap));
          await serving.prepare(stop);
        },
        listening: (name) => {
          if (serving.keep) display.wait(["waiting for a sender", "", name]);
        },
        summary: (stats) => joined(serving.summary(stats), display.summary()),
      },
      ending,
    );
    return end === "stopped" && !display.closed.aborted ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverSdl);

// receiver: takes frames into shared memory, and from there to a file, a pipe or a check.
import { defineTool, runMain } from "../src/cli/tool.ts";
import { type Allocator, DEFAULT_HEAP, receiveAllocator } from "../src/frame/memory.ts";
import { MemoryTarget } from "../src/stream/copy/memory-target.ts";
import { readReceiving, receivingOptions } from "../src/stream/receiver-options.ts";
import { runReceiver } from "../src/stream/serve.ts";
import { toolRow } from "./tool-rows.ts";

export const receiver = defineTool({
  ...toolRow("receiver"),
  options: {
    ...receivingOptions,
    heap: {
      short: "e",
      type: "text",
      default: DEFAULT_HEAP,
      value: "PATH",
      help: "DMA heap for the buffers; without the default one memfd is used",
    },
  },
  async run(values, { loop, signal }) {
    using owned = new DisposableStack();
    const { serving, consumer } = readReceiving(values, loop, owned);
    let allocator: Allocator | undefined;
    const end = await runReceiver(
      loop,
      {
        ...serving,
        maxFrame: values["max-frame"],
        prepare: async (stop) => {
          allocator = owned.use(receiveAllocator(values.heap, values.given.has("heap")));
          await serving.prepare(stop);
        },
        openTarget: (stream, waiting) => {
          if (allocator === undefined) throw new Error("a stream before there was room for it");
          return new MemoryTarget(stream, { ...consumer, allocator }, waiting);
        },
      },
      signal,
    );
    return end === "stopped" ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiver);

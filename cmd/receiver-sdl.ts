// receiver_sdl: what receiver does, with the pictures in a window.
import { defineTool, runMain } from "../src/cli.ts";
import { Display } from "../src/display/display.ts";
import { displayOptions } from "../src/display/options.ts";
import { UsageError } from "../src/errors.ts";
import { StampChecker } from "../src/format/stamp.ts";
import { type Allocator, receiveAllocator } from "../src/memory.ts";
import { type Output, openOutputWhenRead } from "../src/output/file.ts";
import { allowList, parseAddress } from "../src/wire/address.ts";
import { MemoryTarget } from "../src/wire/memory-target.ts";
import type { FrameHeader } from "../src/wire/messages.ts";
import { runReceiver } from "../src/wire/receiver.ts";
import type { OpenTarget } from "../src/wire/target.ts";
import { receiver } from "./receiver.ts";

export const receiverSdl = defineTool({
  name: "receiver_sdl",
  summary: "receive a sender's frames and show them in a window",
  options: { ...receiver.options, ...displayOptions },
  async run(values, { loop, signal }) {
    if (values.json && values.output === "-")
      throw new UsageError("--json and --output - both want stdout");
    const { keep, "max-frame": maxFrame } = values;
    const address = parseAddress("--listen", values.listen, values.port);
    if (values.allow.length > 0 && (address.kind === "unix" || address.kind === "vsock"))
      throw new UsageError(`--allow is for IP addresses, not for --listen ${values.listen}`);
    const allowed = allowList(values.allow);
    using owned = new DisposableStack();
    const display = owned.use(new Display("receiver_sdl", loop, values));
    const ending = AbortSignal.any([signal, display.closed]);
    let output: Output | undefined;
    const checker = values.verify ? new StampChecker() : undefined;
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
                  allocator,
                  output,
                  checker,
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
        address,
        allowed,
        keep,
        maxFrame,
        frames: values.frames,
        stats: values.stats,
        json: values.json,
        latency: display.latency,
        openTarget,
        prepare: async () => {
          if (inMemory) allocator = owned.use(receiveAllocator(values.heap, wantsHeap));
          if (values.output === undefined) return;
          output = await openOutputWhenRead(loop, values.output, ending);
          owned.use(output);
        },
        listening: (name) => {
          if (keep) display.wait(["waiting for a sender", "", name]);
        },
        summary: ({ fps }) => {
          output?.finish(fps);
          return display.summary(checker?.verified);
        },
      },
      ending,
    );
    return end === "stopped" && !display.closed.aborted ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverSdl);

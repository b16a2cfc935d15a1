// receiver: takes frames into shared memory, and from there to a file, a pipe or a check.
import { defineTool, runMain } from "../src/cli.ts";
import { UsageError } from "../src/errors.ts";
import { StampChecker } from "../src/format/stamp.ts";
import { type Allocator, DEFAULT_HEAP, receiveAllocator } from "../src/memory.ts";
import { type Output, openOutputWhenRead } from "../src/output/file.ts";
import { playCommand } from "../src/output/play.ts";
import { allowList, parseAddress } from "../src/wire/address.ts";
import { MemoryTarget } from "../src/wire/memory-target.ts";
import { addressOptions, statsOptions } from "../src/wire/options.ts";
import { runReceiver } from "../src/wire/receiver.ts";

export const receiver = defineTool({
  name: "receiver",
  summary: "receive a sender's frames into shared memory, a file or a pipe",
  options: {
    ...addressOptions.listen,
    heap: {
      short: "e",
      type: "text",
      default: DEFAULT_HEAP,
      value: "PATH",
      help: "DMA heap for the buffers; without the default one memfd is used",
    },
    output: {
      short: "o",
      type: "text",
      value: "FILE",
      help: "write frames there, - for stdout, YUV4MPEG2 for a name in .y4m",
    },
    frames: {
      short: "n",
      type: "integer",
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      help: "end after so many frames",
    },
    verify: { type: "flag", help: "check the stamps of testsrc; fail at the first wrong frame" },
    "max-frame": {
      type: "integer",
      min: 1,
      max: 0xffff_ffff,
      default: 67_108_864,
      value: "BYTES",
      help: "largest frame a sender may announce",
    },
    ...statsOptions,
  },
  async run(values, { loop, signal }) {
    if (values.json && values.output === "-")
      throw new UsageError("--json and --output - both want stdout");
    const address = parseAddress("--listen", values.listen, values.port);
    if (values.allow.length > 0 && (address.kind === "unix" || address.kind === "vsock"))
      throw new UsageError(`--allow is for IP addresses, not for --listen ${values.listen}`);
    const allowed = allowList(values.allow);
    using owned = new DisposableStack();
    let allocator: Allocator | undefined;
    let output: Output | undefined;
    const checker = values.verify ? new StampChecker() : undefined;
    const end = await runReceiver(
      loop,
      {
        address,
        allowed,
        keep: values.keep,
        maxFrame: values["max-frame"],
        frames: values.frames,
        stats: values.stats,
        json: values.json,
        prepare: async () => {
          allocator = owned.use(receiveAllocator(values.heap, values.given.has("heap")));
          if (values.output === undefined) return;
          output = await openOutputWhenRead(loop, values.output, signal);
          owned.use(output);
        },
        openTarget: (stream, waiting) => {
          if (allocator === undefined) throw new Error("a stream before there was room for it");
          return new MemoryTarget(stream, { allocator, output, checker }, waiting);
        },
        summary: ({ fps }) => {
          output?.finish(fps);
          const lines: string[] = [];
          if (checker !== undefined) lines.push(`verified ${checker.verified} frames`);
          if (output?.picture !== undefined && output.frames > 0)
            lines.push(playCommand(output.name, output.picture, fps));
          return { lines, fields: checker === undefined ? {} : { verified: checker.verified } };
        },
      },
      signal,
    );
    return end === "stopped" ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiver);

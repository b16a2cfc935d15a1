// Our sender or receiver in `bun run bench copy`: the stream code as the tools run it, with
// a source that needs no processor time. usage: bun copy-side.ts send|receive PORT WIDTH HEIGHT FRAMES [PORT OF --metrics]
import { setUpLog } from "../../src/cli/log.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { Loop } from "../../src/loop.ts";
import { openMetrics } from "../../src/metrics/metrics.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../src/stream/copy/receive.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { Meter } from "./meter.ts";
import { benchSource, feeding, serving } from "./streams.ts";

const [side, port, width, height, frames] = process.argv
  .slice(2)
  .map((word, i) => (i === 0 ? word : Number(word))) as [string, number, number, number, number];
const address = parseAddress("address", "127.0.0.1", port);
const signal = new AbortController().signal;
setUpLog(side, "error");
using loop = new Loop();

const meter = new Meter(frames);

if (side === "send") {
  const wish = { width, height, buffers: 4, fps: 0 };
  await loop.run(
    feedReceivers(
      loop,
      {
        ...feeding([address], frames),
        open: (owned) => ({ source: owned.use(benchSource(meter, wish)) }),
        send: ({ source }, run) => sendFrames({ ...run, source, latest: false }),
      },
      signal,
    ),
  );
} else {
  const openTarget: CopyReceiveOptions["openTarget"] = (stream, waiting) => {
    const target = new MemoryTarget(stream, { allocator: memfdAllocator }, waiting);
    return {
      begin: (header) => target.begin(header),
      complete: (header) => {
        meter.count();
        return target.complete(header);
      },
      [Symbol.dispose]: () => target[Symbol.dispose](),
    };
  };
  const look = { tool: "receiver", pictures: true };
  using metrics = await loop.run(openMetrics(loop, process.argv[7], look, signal));
  await loop.run(
    serveSenders(
      loop,
      {
        ...serving(address),
        metrics,
        receive: (run) => receiveFrames({ ...run, maxFrame: 2 ** 26, openTarget }),
      },
      signal,
    ),
  );
}
meter.report();

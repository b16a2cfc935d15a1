// Our sender or receiver in `bun run bench copy`: the stream code as the tools run it, with
// a source that needs no processor time. usage: bun copy-side.ts send|receive PORT WIDTH HEIGHT FRAMES
import { PacedSource } from "../../src/capture/paced.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { fourcc } from "../../src/format/formats.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { Loop } from "../../src/loop.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../src/stream/copy/receive.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { Meter } from "./meter.ts";

const [side, port, width, height, frames] = process.argv
  .slice(2)
  .map((word, i) => (i === 0 ? word : Number(word))) as [string, number, number, number, number];
const address = parseAddress("address", "127.0.0.1", port);
const signal = new AbortController().signal;
const quiet = { stats: 0, json: false };
setUpLog(side, "error");
using loop = new Loop();

const meter = new Meter(frames);

if (side === "send") {
  const picture = { width, height, pixelformat: fourcc("YUYV"), sizeimage: width * height * 2 };
  const prepare = (buffers: readonly { mapping: { bytes: Uint8Array } }[]) => {
    for (const { mapping } of buffers) mapping.bytes.fill(0x80);
    return () => {
      meter.count();
      return picture.sizeimage;
    };
  };
  const openSource = () => new PacedSource({ name: "bench", picture, buffers: 4, fps: 0, prepare });
  await loop.run(
    feedReceivers(
      loop,
      {
        ...quiet,
        open: (owned) => ({ source: owned.use(openSource()) }),
        addresses: [address],
        connectTimeoutMs: 3000,
        stallMs: 10_000,
        reconnect: true,
        frames,
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
  const listening = () => process.stderr.write("listening\n");
  await loop.run(
    serveSenders(
      loop,
      {
        ...quiet,
        address,
        allowed: () => true,
        keep: false,
        stallMs: 10_000,
        listening,
        receive: (run) => receiveFrames({ ...run, maxFrame: 2 ** 26, openTarget }),
      },
      signal,
    ),
  );
}
meter.report();

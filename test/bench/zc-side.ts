// One side of `bun run bench zc`: the zero-copy stream code of sender and receiver as the tools run it, with a source
// that needs no processor time. usage: bun zc-side.ts JSON

import { setUpLog } from "../../src/cli/log.ts";
import { type SharedSource, shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportRegion, importRegion, RegionAllocator } from "../../src/share/dax.ts";
import { exportDescriptors, importDescriptors } from "../../src/share/fd.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { borrowFrames } from "../../src/stream/zero-copy/borrow.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { noCounts } from "../../src/stream/zero-copy/lend-counts.ts";
import { openConsumer } from "../../src/stream/zero-copy/view-target.ts";
import { Meter } from "./meter.ts";
import { benchSource, feeding, serving } from "./streams.ts";

/** The task of a side. */
export interface ZcSide {
  readonly side: "send" | "receive";
  readonly share: "fd" | "dax";
  readonly address: string;
  readonly port?: number | undefined;
  /** For dax: a memfd in place of the device. */
  readonly region: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly buffers: number;
  readonly inFlight: number;
  /** 0: as fast as buffers come back. */
  readonly fps: number;
}

const wish = JSON.parse(process.argv[2] ?? "{}") as ZcSide;
const address = parseAddress("address", wish.address, wish.port);
const signal = new AbortController().signal;
setUpLog(wish.side, "error");
using loop = new Loop();
// At a camera's rate the runtime needs half a minute to compile the code of a frame.
const meter = new Meter(wish.frames, wish.fps > 0 ? wish.frames / 2 : undefined);

function openSource(): SharedSource {
  if (wish.share === "fd") return shareSource(benchSource(meter, wish), exportDescriptors);
  const allocator = new RegionAllocator(wish.region);
  const placed = benchSource(meter, { ...wish, allocator });
  return shareSource(placed, (of) => exportRegion(of, allocator), allocator);
}

async function send(): Promise<void> {
  const { frames, inFlight } = wish;
  const counts = noCounts();
  const options = { ackTimeoutMs: 2000, requeue: false, counts, inFlight };
  await feedReceivers(
    loop,
    {
      ...feeding([address], frames),
      open: (owned) => owned.use(openSource()),
      send: (shared, run) => lendFrames({ ...run, ...options, shared }),
    },
    signal,
  );
  if (counts.returned !== frames) throw new Error(`${counts.returned} of ${frames} came back`);
}

async function receive(): Promise<void> {
  using importer = wish.share === "fd" ? importDescriptors() : importRegion(wish.region);
  await serveSenders(
    loop,
    {
      ...serving(address),
      receive: (hooks) =>
        borrowFrames({
          maxFrame: 2 ** 26,
          importers: [importer],
          openView: openConsumer({}),
          ...hooks,
          taken: (frame) => {
            meter.count();
            return hooks.taken(frame);
          },
        }),
    },
    signal,
  );
}

await loop.run(wish.side === "send" ? send() : receive());
meter.report();

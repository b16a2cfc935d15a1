// One side of `bun run bench zc`: the zero-copy stream code of sender and receiver as the tools run it, with a source
// that needs no processor time. usage: bun zc-side.ts JSON
import { PacedSource } from "../../src/capture/paced.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { fourcc } from "../../src/format/formats.ts";
import { type SharedSource, shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportRegion, importRegion, RegionAllocator } from "../../src/share/dax.ts";
import { exportDescriptors, importDescriptors } from "../../src/share/fd.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { borrowFrames } from "../../src/stream/zero-copy/borrow.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { openConsumer } from "../../src/stream/zero-copy/view-target.ts";
import { Meter } from "./meter.ts";

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
const quiet = { stats: 0, json: false };
setUpLog(wish.side, "error");
using loop = new Loop();
// At a camera's rate the runtime needs half a minute to compile the code of a frame.
const meter = new Meter(wish.frames, wish.fps > 0 ? wish.frames / 2 : undefined);

function openSource(): SharedSource {
  const { width, height, buffers, fps } = wish;
  const picture = { width, height, pixelformat: fourcc("YUYV"), sizeimage: width * height * 2 };
  const prepare = (all: readonly { mapping: { bytes: Uint8Array } }[]) => {
    for (const { mapping } of all) mapping.bytes.fill(0x80);
    return () => {
      meter.count();
      return picture.sizeimage;
    };
  };
  const source = { name: "bench", picture, buffers, fps, prepare };
  if (wish.share === "fd") return shareSource(new PacedSource(source), exportDescriptors);
  const allocator = new RegionAllocator(wish.region);
  const placed = new PacedSource({ ...source, allocator });
  return shareSource(placed, (of) => exportRegion(of, allocator), allocator);
}

async function send(): Promise<void> {
  const { frames, inFlight } = wish;
  const counts = { returned: 0, refused: 0, overdue: 0, late: 0 };
  const options = { ackTimeoutMs: 2000, requeue: false, counts, inFlight };
  await feedReceivers(
    loop,
    {
      ...quiet,
      open: (owned) => owned.use(openSource()),
      addresses: [address],
      connectTimeoutMs: 3000,
      stallMs: 10_000,
      reconnect: true,
      frames,
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
      ...quiet,
      address,
      allowed: () => true,
      keep: false,
      stallMs: 10_000,
      listening: () => process.stderr.write("listening\n"),
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

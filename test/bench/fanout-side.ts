// The sender of `bun run bench fanout`: the stream code as the tools run it, with a source that needs no processor time.
// usage: bun fanout-side.ts JSON

import { setUpLog } from "../../src/cli/log.ts";
import { shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportDescriptors } from "../../src/share/fd.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { noCounts } from "../../src/stream/zero-copy/lend-counts.ts";
import { Meter } from "./meter.ts";
import { benchSource, feeding } from "./streams.ts";

/** The task of the sender. */
export interface FanoutSide {
  readonly flow: "copy" | "fd";
  readonly addresses: readonly { readonly text: string; readonly port?: number }[];
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly fps: number;
  readonly buffers: number;
}

const wish = JSON.parse(process.argv[2] ?? "{}") as FanoutSide;
const { frames } = wish;
setUpLog("send", "error");
using loop = new Loop();
const meter = new Meter(frames, frames / 2); // the runtime compiles the code of a frame in the first half

const openSource = () => benchSource(meter, wish);
const addresses = wish.addresses.map(({ text, port }) => parseAddress("address", text, port));
const options = { ...feeding(addresses, frames), stallMs: 0 };
const { signal } = new AbortController();

if (wish.flow === "copy") {
  const open = (owned: DisposableStack) => ({ source: owned.use(openSource()) });
  await loop.run(
    feedReceivers(
      loop,
      {
        ...options,
        open,
        send: ({ source }, run) => sendFrames({ ...run, source, latest: false }),
      },
      signal,
    ),
  );
} else {
  const lending = { ackTimeoutMs: 2000, requeue: false };
  const counts = noCounts();
  await loop.run(
    feedReceivers(
      loop,
      {
        ...options,
        open: (owned) => owned.use(shareSource(openSource(), exportDescriptors)),
        send: (shared, run) => lendFrames({ ...run, ...lending, counts, shared }),
      },
      signal,
    ),
  );
}
meter.report();

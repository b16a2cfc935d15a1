// The senders of `bun run bench many`: streams of their own in one process, each with a source that needs no processor time.
// usage: bun many-side.ts JSON
import { setUpLog } from "../../src/cli/log.ts";
import { shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportDescriptors } from "../../src/share/fd.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { type Address, parseAddress } from "../../src/stream/socket/address.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { noCounts } from "../../src/stream/zero-copy/lend-counts.ts";
import { Meter } from "./meter.ts";
import { benchSource, feeding } from "./streams.ts";

/** The task of the senders. */
export interface ManySide {
  readonly flow: "copy" | "fd";
  /** One for each stream. */
  readonly addresses: readonly { readonly text: string; readonly port?: number | undefined }[];
  readonly width: number;
  readonly height: number;
  /** 0: as fast as buffers come back. */
  readonly fps: number;
  readonly buffers: number;
}

const wish = JSON.parse(process.argv[2] ?? "{}") as ManySide;
setUpLog("send", "error");
using loop = new Loop();
const { signal } = new AbortController();
const meter = new Meter(Number.POSITIVE_INFINITY);

function stream(address: Address): Promise<unknown> {
  const options = feeding([address], Number.POSITIVE_INFINITY);
  if (wish.flow === "copy") {
    const open = (owned: DisposableStack) => ({ source: owned.use(benchSource(meter, wish)) });
    const send = { ...options, open };
    return feedReceivers(
      loop,
      { ...send, send: ({ source }, run) => sendFrames({ ...run, source, latest: false }) },
      signal,
    );
  }
  const lending = { ackTimeoutMs: 2000, requeue: false, counts: noCounts() };
  return feedReceivers(
    loop,
    {
      ...options,
      open: (owned) => owned.use(shareSource(benchSource(meter, wish), exportDescriptors)),
      send: (shared, run) => lendFrames({ ...run, ...lending, shared }),
    },
    signal,
  );
}

const addresses = wish.addresses.map(({ text, port }) => parseAddress("address", text, port));
await loop.run(Promise.all(addresses.map(stream)));

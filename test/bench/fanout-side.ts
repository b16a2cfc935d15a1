// The sender of `bun run bench fanout`: the stream code as the tools run it, with a source that needs no processor time.
// usage: bun fanout-side.ts JSON
import { PacedSource } from "../../src/capture/paced.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { fourcc } from "../../src/format/formats.ts";
import { shareSource } from "../../src/frame/sharing.ts";
import { Loop } from "../../src/loop.ts";
import { exportDescriptors } from "../../src/share/fd.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { lendFrames } from "../../src/stream/zero-copy/lend.ts";
import { Meter } from "./meter.ts";

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
const { frames, width, height, fps, buffers } = wish;
setUpLog("send", "error");
using loop = new Loop();
const meter = new Meter(frames, frames / 2); // the runtime compiles the code of a frame in the first half

function openSource() {
  const picture = { width, height, pixelformat: fourcc("YUYV"), sizeimage: width * height * 2 };
  const prepare = (all: readonly { mapping: { bytes: Uint8Array } }[]) => {
    for (const { mapping } of all) mapping.bytes.fill(0x80);
    return () => {
      meter.count();
      return picture.sizeimage;
    };
  };
  return new PacedSource({ name: "bench", picture, buffers, fps, prepare });
}

const feeding = {
  stats: 0,
  json: false,
  addresses: wish.addresses.map(({ text, port }) => parseAddress("address", text, port)),
  connectTimeoutMs: 3000,
  stallMs: 0,
  reconnect: true,
  frames,
};
const { signal } = new AbortController();

if (wish.flow === "copy") {
  const open = (owned: DisposableStack) => ({ source: owned.use(openSource()) });
  await loop.run(
    feedReceivers(
      loop,
      {
        ...feeding,
        open,
        send: ({ source }, run) => sendFrames({ ...run, source, latest: false }),
      },
      signal,
    ),
  );
} else {
  const lending = { ackTimeoutMs: 2000, requeue: false };
  const counts = { returned: 0, refused: 0, overdue: 0, late: 0 };
  await loop.run(
    feedReceivers(
      loop,
      {
        ...feeding,
        open: (owned) => owned.use(shareSource(openSource(), exportDescriptors)),
        send: (shared, run) => lendFrames({ ...run, ...lending, counts, shared }),
      },
      signal,
    ),
  );
}
meter.report();

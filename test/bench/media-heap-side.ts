// The back-end of `bun run bench media` for the growth of its heap: as vhost-user-media runs it, for one front-end, with a sender_zc's
// stream. usage: bun media-heap-side.ts SOCKET STREAM WARM FRAMES

import { openMediaStream } from "../../cmd/media-stream.ts";
import { bootMs } from "../../ffi/clock.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { Loop } from "../../src/loop.ts";
import { MediaCounts } from "../../src/media/media-counts.ts";
import { createMediaDevice } from "../../src/media/media-device.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { Listener } from "../../src/stream/socket/listener.ts";
import { noCounts } from "../../src/vhost/counts.ts";
import { serveFrontEnd } from "../../src/vhost/server.ts";

/** What the back-end measured. */
export interface HeapFigures {
  readonly frames: number;
  readonly heapGrowth: number;
}

const [path = "", stream = ""] = process.argv.slice(2);
const [warm = 0, frames = 0] = process.argv.slice(4).map(Number);
const { signal } = new AbortController();
setUpLog("media", "error");
using loop = new Loop();
const { source, whileServing } = openMediaStream(
  {
    ...{ listen: `unix:${stream}`, port: undefined, allow: [], "zero-copy": true },
    ...{ "stall-timeout": 10, "max-frame": 1 << 26 },
  },
  undefined,
);

const heapBytes = () => {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
};
const counts = new MediaCounts();
let from = 0;
let before = 0;
let figures: HeapFigures | undefined;

/** Both sizes are taken while the guest streams: at its end the stand-by card and the mappings are freed. */
function look(): void {
  const { delivered } = counts;
  if (before === 0 && delivered >= warm) {
    from = delivered;
    before = heapBytes();
  } else if (figures === undefined && before !== 0 && delivered >= from + frames)
    figures = { frames: delivered - from, heapGrowth: heapBytes() - before };
}

async function serve(): Promise<void> {
  const address = parseAddress("socket", `unix:${path}`, undefined);
  using listener = await Listener.open(loop, address, () => true, signal);
  process.stderr.write("listening\n");
  const peer = await listener?.next(signal);
  if (peer === undefined) return;
  using _timer = loop.every(20, look);
  const makeDevice = () =>
    createMediaDevice({ source, card: "bench", memoryBytes: 1 << 28, counts, now: bootMs });
  await serveFrontEnd(loop, peer.socket, { makeDevice, counts: noCounts() }, signal);
}

await loop.run(whileServing({ loop, signal }, serve()));
source[Symbol.dispose]();
if (figures === undefined) throw new Error(`${counts.delivered} pictures are too few`);
console.log(JSON.stringify(figures));

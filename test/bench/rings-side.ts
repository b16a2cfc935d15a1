// The back-end of `bun run bench video`, rings: as vhost-user-video runs it, for one front-end, with figures of the heap.
// usage: bun rings-side.ts SOCKET COMMANDS
import { setUpLog } from "../../src/cli/log.ts";
import { Loop } from "../../src/loop.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { Listener } from "../../src/stream/socket/listener.ts";
import { noCounts } from "../../src/vhost/counts.ts";
import { serveFrontEnd } from "../../src/vhost/server.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";

const [path = "", commands = "0"] = process.argv.slice(2);
const signal = new AbortController().signal;
setUpLog("rings", "error");
using loop = new Loop();
using codec = openNull();

const heapBytes = () => {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
};
let requests = 0;
let before = 0;

await loop.run(
  (async () => {
    const address = parseAddress("socket", `unix:${path}`, undefined);
    using listener = await Listener.open(loop, address, () => true, signal);
    process.stderr.write("listening\n");
    const peer = await listener?.next(signal);
    if (peer === undefined) return;
    const counts = noCounts();
    // Counting starts after a tenth, when all code is compiled.
    using _timer = loop.every(20, () => {
      requests = counts.requests;
      if (requests < Number(commands) / 10) return;
      if (before === 0) before = heapBytes();
    });
    const makeDevice = () => createVideoDevice({ backend: codec, maxStreams: 16 });
    await serveFrontEnd(loop, peer.socket, { makeDevice, counts }, signal);
  })(),
);
console.log(JSON.stringify({ requests, heapGrowth: heapBytes() - before }));

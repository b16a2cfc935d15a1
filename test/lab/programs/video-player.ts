// Runs in a guest of the lab, compiled: a vhost-user front-end with the tests' virtio-video driver, which decodes
// FWHT clips through the back-end at a socket. What to play is in files: BASE.1, then BASE.2 and so on, each a JSON
// array of streams that run at the same time; one line of JSON answers each file. An empty array ends the program.
// usage: video-player SOCKET|DEVICE BASE [WAY]: with a device the back-end is in the same process, for its heap to be measured;
// it takes guest memory in that way only.
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import type { Fd } from "../../../ffi/fd.ts";
import { unixAddress } from "../../../ffi/sockaddr.ts";
import { socketPair, startConnect } from "../../../ffi/socket.ts";
import { log } from "../../../src/cli/log.ts";
import { Loop } from "../../../src/loop.ts";
import { Connection } from "../../../src/vhost/connection.ts";
import { WAYS } from "../../../src/video/codec/decoder-buffers.ts";
import { openV4l2Decoder } from "../../../src/video/codec/v4l2-decoder.ts";
import { createVideoDevice } from "../../../src/video/video-device.ts";
import { type ClipOptions, ClipPlayer, SETTLED } from "../../support/clip-player.ts";
import { RemoteDevice } from "../../support/vhost/remote-device.ts";
import { Driver } from "../../support/video-driver.ts";
import type { Played, StreamWish } from "../vicodec.ts";

const MIB = 1024 * 1024;
/** A stream without a picture for so long has ended. It is longer than a pause of the guest on a busy host. */
const QUIET_MS = 2000;
const LIMIT_MS = 30_000;
const EVENT_BUFFERS = 32;
const POLL_MS = 20;
/** A pause, and the pictures between two. */
const PAUSE_MS = 50;
const PAUSE_EVERY = 17;
const DEBUG = 4;

const [where = "", base = "", way] = process.argv.slice(2);
using loop = new Loop();

function result(player: ClipPlayer): Omit<Played, "heap"> {
  const { stream, frames, errors, eos, changes, times } = player;
  const seconds = (player.lastMs - player.firstMs) / 1000;
  const settled = (player.lastMs - player.settledMs) / 1000;
  return { stream, frames, errors, eos, changes, seconds, settled, times: times.map(String) };
}

/** Bytes on the heap after garbage collection. */
function heapBytes(): number {
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

/** A back-end in this process, on a device. */
function serveHere(device: string, owned: DisposableStack): Fd {
  const ways = WAYS.filter((each) => way === undefined || each === way);
  if (way !== undefined) log.level = DEBUG;
  const backend = owned.use(openV4l2Decoder(device, ways));
  const [ours, theirs] = socketPair();
  owned.use(new Connection(loop, ours, () => createVideoDevice({ backend, maxStreams: 4 })));
  return theirs;
}

async function run(): Promise<void> {
  using owned = new DisposableStack();
  const here = where.startsWith("/dev/");
  const socket = here ? serveHere(where, owned) : startConnect(unixAddress(where));
  using device = await RemoteDevice.connect(loop, socket, 256 * MIB);
  const driver = new Driver({ device, memory: device.memory, loop });
  driver.keepAnswers = false;
  for (let n = 0; n < EVENT_BUFFERS; n++) driver.postEvent();
  const { mark } = device;
  for (let turn = 1; ; turn++) {
    const wishes = await wanted(`${base}.${turn}`);
    if (wishes.length === 0) break;
    const { before, pauses = 0, plugs = 0, tables = 0 } = wishes[0] ?? {};
    if (before === "reset") {
      await device.reset();
      for (let n = 0; n < EVENT_BUFFERS; n++) driver.postEvent();
    } else if (before === "table") await device.replaceMemory();
    device.mark = mark;
    for (const _ of driver.events.splice(0)) driver.postEvent();
    const outs: number[] = [];
    const players = wishes.map(({ clip, out, ...options }, i) => {
      if (out !== undefined) outs.push(openSync(out, "w"));
      const file = out === undefined ? undefined : outs.at(-1);
      const whole: ClipOptions = { ...options, clip: readFileSync(clip), out: file };
      return new ClipPlayer(driver, i + 1, whole);
    });
    const interrupt = () =>
      pauses > 0
        ? device.pause(PAUSE_MS)
        : plugs > 0
          ? device.plugMemory()
          : device.replaceMemory();
    await play(device, players, { times: pauses + plugs + tables, interrupt });
    for (const out of outs) closeSync(out);
    const heap = here ? heapBytes() : 0;
    console.log(JSON.stringify(players.map((player) => ({ ...result(player), heap }))));
  }
  if (!device.marginsIntact) throw new Error("something was written beside guest memory");
}

/** What to play next, once the file exists. */
async function wanted(path: string): Promise<readonly StreamWish[]> {
  const { promise, resolve } = loop.promise<void>();
  using _timer = loop.every(POLL_MS, () => {
    if (existsSync(path)) resolve();
  });
  await promise;
  return JSON.parse(readFileSync(path, "utf8")) as StreamWish[];
}

async function play(
  device: RemoteDevice,
  players: readonly ClipPlayer[],
  { times, interrupt }: { times: number; interrupt: () => Promise<void> },
): Promise<void> {
  let paused = false;
  let left = times;
  let nextPause = SETTLED;
  const pause = async () => {
    paused = true;
    left -= 1;
    nextPause = (players[0]?.frames ?? 0) + PAUSE_EVERY;
    await interrupt();
    paused = false;
    turn();
  };
  const busyAt = players.map(() => performance.now());
  const { promise, resolve, reject } = loop.promise<void>();
  const turn = () => {
    if (paused) return;
    try {
      if (left > 0 && (players[0]?.frames ?? 0) >= nextPause) {
        pause().catch(reject);
        return;
      }
      for (const [i, player] of players.entries()) {
        while (player.step()) busyAt[i] = performance.now();
        if (player.done) continue;
        const quietMs = performance.now() - (busyAt[i] ?? 0);
        const paused = quietMs > QUIET_MS && player.frames > 0; // the first picture takes as long as it takes
        if (paused && player.endsByItself) player.finish();
        if (quietMs > LIMIT_MS) throw new Error(`stream ${player.stream}: stuck, ${player}`);
      }
      if (players.every(({ done }) => done)) resolve();
    } catch (error) {
      reject(error);
    }
  };
  device.onAnswers = turn;
  using _idle = loop.every(50, turn);
  turn();
  await promise;
  device.onAnswers = () => undefined;
}

try {
  await loop.run(run());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

// Runs in a guest of the lab, compiled: a vhost-user front-end with a virtio-video driver of the tests' in it, which
// decodes FWHT clips through the back-end at a socket. Prints one JSON object a stream.
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { unixAddress } from "../../../ffi/sockaddr.ts";
import { startConnect } from "../../../ffi/socket.ts";
import { Loop } from "../../../src/loop.ts";
import { type ClipOptions, ClipPlayer } from "../../support/clip-player.ts";
import { RemoteDevice } from "../../support/vhost/remote-device.ts";
import { Driver } from "../../support/video-driver.ts";

const MIB = 1024 * 1024;
/** As v4l2-ctl: a stream that nothing comes of for so long has ended. */
const QUIET_MS = 500;
const LIMIT_MS = 10_000;
const EVENT_BUFFERS = 32;

const { values } = parseArgs({
  options: {
    socket: { type: "string", default: "/tmp/video.sock" },
    /** One for each stream; they run at the same time. */
    clip: { type: "string", multiple: true, default: [] },
    out: { type: "string", multiple: true, default: [] },
    format: { type: "string", default: "4" },
    chunk: { type: "string", default: "buffer" },
    pieces: { type: "string", default: "1" },
    mode: { type: "string", default: "plain" },
    width: { type: "string", default: "640" },
    height: { type: "string", default: "480" },
    /** How often all of it is played, by the same front-end; the n-th time when a file GO.n is there. */
    repeat: { type: "string", default: "1" },
    go: { type: "string" },
  },
});

function clipOptions(clip: string, out: number | undefined): ClipOptions {
  const { chunk, mode } = values;
  return {
    clip: readFileSync(clip),
    out,
    format: Number(values.format),
    width: Number(values.width),
    height: Number(values.height),
    chunk: chunk === "buffer" || chunk === "frame" ? chunk : Number(chunk),
    pieces: Number(values.pieces),
    mode: mode as ClipOptions["mode"],
  };
}

function report(player: ClipPlayer): void {
  const { stream, frames, errors, eos, changes } = player;
  const seconds = (player.lastMs - player.firstMs) / 1000;
  const times = player.times.map(String);
  console.log(JSON.stringify({ stream, frames, errors, eos, changes, seconds, times }));
}

using loop = new Loop();

async function play(): Promise<void> {
  const outs = values.out.map((path) => openSync(path, "w"));
  const options = values.clip.map((clip, i) => clipOptions(clip, outs[i]));
  const socket = startConnect(unixAddress(values.socket));
  const device = await RemoteDevice.connect(loop, socket, 256 * MIB);
  const driver = new Driver({ device, memory: device.memory, loop });
  driver.keepAnswers = false;
  const { mark } = device;
  for (let i = 1; i <= Number(values.repeat); i++) {
    if (values.go !== undefined) await appearance(`${values.go}.${i}`);
    device.mark = mark;
    driver.events.length = 0;
    for (let n = 0; n < EVENT_BUFFERS && i === 1; n++) driver.postEvent();
    const players = options.map((one, n) => new ClipPlayer(driver, n + 1, one));
    await playOnce(device, players);
    for (const player of players) report(player);
  }
  if (!device.marginsIntact) throw new Error("something was written beside guest memory");
  device[Symbol.dispose]();
  for (const out of outs) closeSync(out);
}

async function appearance(path: string): Promise<void> {
  const { promise, resolve } = loop.promise<void>();
  using _timer = loop.every(20, () => {
    if (existsSync(path)) resolve();
  });
  await promise;
}

async function playOnce(device: RemoteDevice, players: readonly ClipPlayer[]): Promise<void> {
  const busyAt = players.map(() => performance.now());
  const { promise, resolve, reject } = loop.promise<void>();
  const turn = () => {
    try {
      for (const [i, player] of players.entries()) {
        while (player.step()) busyAt[i] = performance.now();
        if (player.done) continue;
        const quietMs = performance.now() - (busyAt[i] ?? 0);
        if (quietMs > QUIET_MS && values.mode === "plain" && !player.closing) player.finish();
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
}

try {
  await loop.run(play());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}

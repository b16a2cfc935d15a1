// A front-end of `bun run bench video`, libavcodec: plays a clip as a guest does, through rings, and prints figures as JSON.
// usage: bun software-decode-side.ts TASK-FILE
import { readFileSync } from "node:fs";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { Loop } from "../../src/loop.ts";
import { cpuTimeMs } from "../../src/video/codec/libavcodec/watchdog.ts";
import { ClipPlayer } from "../support/clip-player.ts";
import { childrenOf } from "../support/processes.ts";
import { RemoteDevice } from "../support/vhost/remote-device.ts";
import { Driver } from "../support/video-driver.ts";

export interface Task {
  readonly socket: string;
  /** The process that listens there. */
  readonly daemon: number;
  readonly clip: string;
  readonly coded: number;
  /** Where its frames end. */
  readonly ends: readonly number[];
  readonly width: number;
  readonly height: number;
  /** Counting starts after so many pictures, when all code is compiled. */
  readonly warmUp: number;
}

export interface Figures {
  readonly frames: number;
  /** Pictures after the warm-up, and what they took. */
  readonly counted: number;
  readonly seconds: number;
  /** Processor time of the front-end's process and of the decoder's. */
  readonly daemonMs: number;
  readonly decoderMs: number;
  /** Memory of the decoder's process; what it shares counts in part. */
  readonly pssMib: number;
  /** From STREAM_CREATE to the first picture. */
  readonly firstPictureMs: number;
}

const MIB = 1024 * 1024;
const LIMIT_MS = 60_000;

const task = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Task;
const clip = readFileSync(task.clip);
using loop = new Loop();
await loop.run(play());

async function play(): Promise<void> {
  const socket = startConnect(unixAddress(task.socket));
  using device = await RemoteDevice.connect(loop, socket, 192 * MIB);
  const driver = new Driver({ device, memory: device.memory, loop });
  for (let i = 0; i < 8; i++) driver.postEvent();
  driver.keepAnswers = false;
  const { coded, ends, width, height, warmUp } = task;
  const createdMs = performance.now();
  let firstMs = 0;
  let warmMs = 0;
  let before = { daemon: 0, decoder: 0 };
  let after = before;
  let pssMib = 0;
  const [frontEnd = 0] = childrenOf(task.daemon);
  const costs = () => {
    const [decoder = 0] = childrenOf(frontEnd);
    return { daemon: cpuTimeMs(frontEnd), decoder: cpuTimeMs(decoder) };
  };
  const player = new ClipPlayer(driver, 1, {
    ...{ clip, coded, ends, width, height, format: 4, chunk: "frame", pieces: 1, mode: "drain" },
    inputs: 6,
    spare: 6,
    onPicture: (_, last) => {
      if (!last) return;
      if (player.frames === 1) firstMs = performance.now();
      if (player.frames === warmUp) {
        warmMs = performance.now();
        before = costs();
      }
      if (player.frames < ends.length) return;
      after = costs();
      const [decoder = 0] = childrenOf(frontEnd);
      pssMib = pssOf(decoder) / 1024;
    },
  });
  const { promise, resolve, reject } = loop.promise<void>();
  using _limit = loop.after(LIMIT_MS, () => reject(new Error(`stuck: ${player}`)));
  device.onAnswers = () => {
    while (player.step());
    if (player.done) resolve();
  };
  device.onAnswers();
  await promise;
  const figures: Figures = {
    frames: player.frames,
    counted: player.frames - warmUp,
    seconds: (player.lastMs - warmMs) / 1000,
    daemonMs: after.daemon - before.daemon,
    decoderMs: after.decoder - before.decoder,
    pssMib: Math.round(pssMib),
    firstPictureMs: firstMs - createdMs,
  };
  console.log(JSON.stringify(figures));
}

/** Proportional set size, KiB. */
function pssOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
}

// A front-end of `bun run bench video`, libavcodec: how long a command takes while nothing is decoded, and while four streams are.
// usage: bun command-latency-side.ts TASK-FILE
import { readFileSync } from "node:fs";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { Loop } from "../../src/loop.ts";
import * as s from "../../src/video/structs.ts";
import { ClipPlayer } from "../support/clip-player.ts";
import { RemoteDevice } from "../support/vhost/remote-device.ts";
import { Driver, type Sent } from "../support/video-driver.ts";
import type { Task } from "./software-decode-side.ts";

/** Microseconds from kick to answer of GET_PARAMS. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}
export interface Latencies {
  readonly idle: Latency;
  readonly decoding: Latency;
}

const STREAMS = [1, 2, 3, 4];
/** A stream that decodes nothing: the commands are about it. */
const ASKED = 9;
const MEMORY = 320 * 1024 * 1024;
const EVERY_MS = 3;
const COMMANDS = 600;
const WARM_UP = 300;
const LIMIT_MS = 90_000;

const task = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Task;
const clip = readFileSync(task.clip);
using loop = new Loop();
await loop.run(measure());

async function measure(): Promise<void> {
  const socket = startConnect(unixAddress(task.socket));
  using device = await RemoteDevice.connect(loop, socket, MEMORY);
  const driver = new Driver({ device, memory: device.memory, loop });
  for (let i = 0; i < 16; i++) driver.postEvent();
  driver.keepAnswers = false;
  const { coded, ends, width, height } = task;
  driver.create(ASKED, { format: coded });
  let players: ClipPlayer[] = [];
  let asked: Sent | undefined;
  let askedMs = 0;
  let taken: number[] = [];
  device.onAnswers = () => {
    if (asked?.held === false) {
      taken.push((performance.now() - askedMs) * 1000);
      asked = undefined;
    }
    for (const player of players) while (player.step());
  };
  using _timer = loop.every(EVERY_MS, () => {
    if (asked !== undefined) return;
    askedMs = performance.now();
    asked = driver.getParams(ASKED, s.OUTPUT);
  });
  const lateMs = performance.now() + LIMIT_MS;
  const until = async (holds: () => boolean) => {
    while (!holds()) {
      if (performance.now() > lateMs) throw new Error(`stuck: ${players.join("; ")}`);
      const { promise, resolve } = loop.promise<void>();
      using _later = loop.after(20, resolve);
      await promise;
    }
  };
  await until(() => taken.length >= WARM_UP);
  taken = [];
  await until(() => taken.length >= COMMANDS);
  const idle = latency(taken);
  players = STREAMS.map(
    (stream) =>
      new ClipPlayer(driver, stream, {
        ...{ clip, coded, ends, width, height, format: 4, chunk: "frame", pieces: 1 },
        mode: "resume",
      }),
  );
  device.onAnswers();
  await until(() => players.every(({ frames }) => frames > 0));
  taken = [];
  await until(() => taken.length >= COMMANDS || players.some(({ done }) => done));
  const figures: Latencies = { idle, decoding: latency(taken) };
  console.log(JSON.stringify(figures));
}

function latency(us: readonly number[]): Latency {
  const sorted = [...us].sort((a, b) => a - b);
  const at = (part: number) => Math.round(sorted[Math.floor(sorted.length * part)] ?? Number.NaN);
  return { p50: at(0.5), p99: at(0.99) };
}

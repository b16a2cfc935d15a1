// Fuzzing of the virtio-media device: commands of any bytes, ioctls with any arguments and scatter lists, sequences with the monitor's
// answers, pictures, pauses and resets between them.
import * as v from "../../ffi/linux/videodev2.ts";
import { takes } from "../../src/media/ioctl-row.ts";
import { ioctlRows } from "../../src/media/ioctls.ts";
import { madeOffers } from "../../src/media/made-offers.ts";
import * as p from "../../src/media/protocol.ts";
import { FakeControls } from "../support/fake-controls.ts";
import { BASE, FakeSource, MediaDriver } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";
import type { Random } from "../support/random.ts";
import type { Sent } from "../support/video-driver.ts";
import { defineTarget } from "./target.ts";

/** Room for four small buffers. */
const REGION = 1 << 18;
const MEMORY = 128 * 1024;
/** Where memory is while that of the guest is unplugged. */
const ELSEWHERE = 0x9000_0000n;
/** Small pictures: a case costs little. */
const offers = madeOffers(
  ["YUYV", "NV12", "MJPG"],
  [
    [32, 16],
    [16, 16],
  ],
  [30, 15],
);
const CAPTURE = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;

interface Command {
  readonly op: "command";
  readonly cmd: number;
  /** Which of the sessions: 0 and 1 are open at the beginning, others are unknown or old. */
  readonly session: number;
  /** The bytes after the fixed part, or after the header where `cmd` is no IOCTL. */
  readonly body: readonly number[];
  readonly code: number;
  readonly room: number;
  readonly length: number;
}
type Step =
  | Command
  | { readonly op: "show"; readonly value: number; readonly bytes: number }
  | { readonly op: "post"; readonly room: number }
  | { readonly op: "monitor"; readonly mode: "at once" | "late" | "refuse" }
  | { readonly op: "region"; readonly there: boolean }
  | { readonly op: "pass" | "stopped"; readonly ms: number }
  | { readonly op: "pause" | "resume" | "reset" | "answerLate" | "unplug" | "plug" };

const word = (value: number) => [
  value & 255,
  (value >>> 8) & 255,
  (value >>> 16) & 255,
  value >>> 24,
];

/** A number that an argument often has: the edges of what the device has, or any. */
function number(random: Random): number {
  const kind = random.below(4);
  if (kind === 0) return random.below(5);
  if (kind === 1) return random.pick([CAPTURE, v.V4L2_MEMORY_MMAP, v.V4L2_MEMORY_USERPTR]);
  if (kind === 2) return random.pick([0x9800_01, 0x98_0900, 0x98_0918, 0x8000_0000, 0xf00_0000]);
  return random.hostile();
}

/** Arguments that reach further than random ones: what a program would send, by ioctl. */
function likely(name: string, random: Random): number[] | undefined {
  const index = random.below(5);
  const memory = random.chance(3) ? v.V4L2_MEMORY_USERPTR : v.V4L2_MEMORY_MMAP;
  if (name === "VIDIOC_STREAMON" || name === "VIDIOC_STREAMOFF") return word(CAPTURE);
  if (name === "VIDIOC_REQBUFS") return [index, CAPTURE, memory, 0, 0].flatMap(word);
  if (/QBUF|QUERYBUF|PREPARE/.test(name)) {
    const words = new Array<number>(22).fill(0);
    words[0] = index;
    words[1] = CAPTURE;
    words[15] = memory;
    words[18] = random.pick([0, 1024, 4096, 0xffff_ffff]);
    return words.flatMap(word);
  }
  if (name === "VIDIOC_CREATE_BUFS") {
    const words = new Array<number>(64).fill(0);
    words[1] = index;
    words[2] = memory;
    words[4] = CAPTURE;
    words[11] = random.pick([1024, 4096, 0x10_0000, 0xffff_ffff]);
    return words.flatMap(word);
  }
  return undefined;
}

function list(random: Random): number[] {
  return Array.from({ length: random.below(6) }, () => {
    const near = random.chance(5) ? random.bits() : Number(BASE) + random.below(MEMORY + 8192);
    const length = random.chance(4) ? random.hostile() : 1 + random.below(4096);
    return [near, random.chance(12) ? random.bits() : 0, length, 0].flatMap(word);
  }).flat();
}

function ioctl(random: Random): Command {
  const row = ioctlRows[random.below(ioctlRows.length)] as (typeof ioctlRows)[number];
  const { name, argument } = row.ioctl;
  const words = Array.from({ length: Math.ceil(argument.size / 4) }, () =>
    random.chance(3) ? number(random) : 0,
  );
  if (random.chance(2) && words.length > 1) words[1] = CAPTURE;
  if (random.chance(2)) words[0] = CAPTURE;
  const chosen = random.chance(3) ? undefined : likely(name, random);
  const body = (chosen ?? words.flatMap(word)).slice(0, takes(row.ioctl) ? argument.size : 0);
  const tail =
    row.tail === undefined
      ? []
      : row.tail === "list"
        ? list(random)
        : words.slice(0, 5 * random.below(4)).flatMap(word);
  const all = [...body, ...tail];
  return {
    op: "command",
    cmd: p.IOCTL,
    session: random.chance(12) ? random.below(6) : random.below(2),
    body: all,
    code: random.chance(30) ? random.bits() : row.ioctl.code & 0xff,
    room: random.chance(10) ? random.below(300) : 8 + argument.size + tail.length,
    length: random.chance(12) ? random.below(16 + all.length + 1) : 16 + all.length,
  };
}

function command(random: Random): Command {
  const cmd = random.pick([p.OPEN, p.CLOSE, p.MMAP, p.MMAP, p.MUNMAP, 6]);
  const place = random.chance(4) ? random.hostile() : 65_536 * random.below(8);
  const body =
    cmd === p.MUNMAP
      ? [...word(place), ...word(random.chance(9) ? 1 : 0)]
      : [...word(random.below(2)), ...word(place)];
  const length = { [p.OPEN]: 8, [p.CLOSE]: 16, [p.MMAP]: 20, [p.MUNMAP]: 16 }[cmd] ?? 24;
  return {
    op: "command",
    cmd: random.chance(40) ? random.bits() : cmd,
    session: random.chance(8) ? random.below(6) : random.below(2),
    body,
    code: 0,
    room: random.chance(8) ? random.below(30) : cmd === p.CLOSE ? 0 : 24,
    length: random.chance(12) ? random.below(25) : length,
  };
}

function step(random: Random): Step {
  const kind = random.below(30);
  if (kind < 17) return ioctl(random);
  if (kind < 22) return command(random);
  if (kind < 25)
    return {
      op: "show",
      value: random.below(256),
      bytes: random.chance(4) ? random.below(2000) : 0,
    };
  if (kind < 26) return { op: "post", room: random.chance(3) ? random.below(700) : 608 };
  if (kind < 27) return { op: "monitor", mode: random.pick(["at once", "late", "refuse"]) };
  if (kind < 28)
    return random.chance(2)
      ? { op: "pass", ms: random.below(4000) }
      : { op: "stopped", ms: random.below(7000) };
  if (kind < 29) return { op: random.pick(["pause", "resume", "answerLate", "unplug", "plug"]) };
  return random.chance(3)
    ? { op: "region", there: random.chance(2) }
    : { op: random.pick(["reset", "answerLate"]) };
}

/** The bytes of a command. */
function bytesOf(one: Command, sessions: readonly number[]): Uint8Array<ArrayBuffer> {
  const session = sessions[one.session] ?? one.session;
  const fixed =
    one.cmd === p.IOCTL
      ? [...word(session), ...word(one.code)]
      : one.cmd === p.MUNMAP || one.cmd === p.OPEN
        ? []
        : word(session);
  const all = [...word(one.cmd), 0, 0, 0, 0, ...fixed, ...one.body];
  const bytes = new Uint8Array(new ArrayBuffer(one.length));
  bytes.set(all.slice(0, one.length));
  return bytes;
}

/** Answers are exact: once at most, a status that a driver understands, no longer than their room. */
function checkAnswers(all: readonly Sent[]): void {
  for (const { answers, reply, room } of all) {
    if (answers > 1) throw new Error(`answered ${answers} times`);
    if (reply === undefined || reply.length === 0) continue;
    if (reply.length > room) throw new Error("an answer longer than its room");
    if (reply.length < 8) continue;
    const status = new DataView(reply.buffer).getUint32(0, true);
    if (status > 4095) throw new Error(`status ${status}`);
  }
}

/** Which buffers the guest has queued: two events for one QBUF corrupt the memory of a guest with Linux. */
class QueuedBuffers {
  readonly #driver: MediaDriver;
  readonly #queued = new Set<string>();
  #seen = 0;

  constructor(driver: MediaDriver) {
    this.#driver = driver;
  }

  /** Call after each step; `sent` is its command. */
  follow(sent?: Sent): void {
    const bytes = sent?.bytes ?? new Uint8Array();
    const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const at = (offset: number) =>
      offset + 4 <= bytes.length ? words.getUint32(offset, true) : -1;
    const [cmd, session, code] = [at(0), at(8), at(12)];
    const done = sent?.reply !== undefined && (sent.reply.length === 0 || sent.reply[0] === 0);
    const names = (row: { readonly code: number }) => cmd === p.IOCTL && code === (row.code & 0xff);
    if (done && names(v.VIDIOC_QBUF)) this.#queued.add(`${session} ${at(16)}`);
    for (const { session, index } of this.#driver.frames.slice(this.#seen))
      if (!this.#queued.delete(`${session} ${index}`))
        throw new Error(`an event for buffer ${index} of session ${session}, which is not queued`);
    this.#seen = this.#driver.frames.length;
    if (done && (cmd === p.CLOSE || names(v.VIDIOC_STREAMOFF) || names(v.VIDIOC_REQBUFS)))
      for (const one of this.#queued) if (one.startsWith(`${session} `)) this.#queued.delete(one);
  }

  /** The driver has begun again. */
  reset(): void {
    this.#queued.clear();
    this.#seen = 0;
  }
}

/** Sequences of anything: no error leaves the device, answers are exact, memory and quota come back, a stream works afterwards. */
export const mediaSequences = defineTarget<Step>({
  name: "media",
  title: "commands and sequences to the camera for guests",
  script: (random) => Array.from({ length: 4 + random.below(20) }, () => step(random)),
  open() {
    const source = new FakeSource(offers, new FakeControls());
    const driver = new MediaDriver({ source, regionBytes: REGION, memoryBytes: MEMORY });
    return {
      attempt: (script) => play(driver, script),
      [Symbol.dispose]: () => driver[Symbol.dispose](),
    };
  },
});

function fresh(driver: MediaDriver, eventBuffers: number): void {
  driver.reset();
  driver.hasRegion = true;
  driver.region.mode = "at once";
  if (driver.memory.resolve(BASE, 1n) === undefined)
    driver.memory.replace([{ address: BASE, length: MEMORY }]);
  driver.device.memoryChanged(driver.memory);
  driver.complaints.length = 0;
  driver.frames.length = 0;
  driver.events.length = 0;
  driver.start(eventBuffers);
}

function play(driver: MediaDriver, script: readonly Step[]): void {
  fresh(driver, 4);
  const sessions = [driver.open(), driver.open()];
  const all: Sent[] = [];
  const queued = new QueuedBuffers(driver);
  let paused = false;
  for (const one of script) {
    let sent: Sent | undefined;
    switch (one.op) {
      case "command":
        if (paused) break;
        sent = driver.raw(bytesOf(one, sessions), one.room);
        all.push(sent);
        break;
      case "show":
        if (driver.source.mode !== undefined)
          driver.source.show(one.value, one.bytes === 0 ? { piece: 100 } : { bytes: one.bytes });
        break;
      case "post":
        driver.post(one.room);
        break;
      case "monitor":
        driver.region.mode = one.mode;
        break;
      case "region":
        driver.hasRegion = one.there;
        break;
      case "pass":
        driver.pass(one.ms);
        break;
      case "stopped":
        driver.stopProcess(one.ms);
        break;
      case "pause":
      case "resume":
        if (paused !== (one.op === "pause")) driver.device[one.op]();
        paused = one.op === "pause";
        break;
      case "answerLate":
        driver.region.answerLate();
        break;
      case "unplug":
      case "plug":
        driver.memory.replace(
          one.op === "plug"
            ? [{ address: BASE, length: MEMORY }]
            : [{ address: ELSEWHERE, length: 4096 }],
        );
        driver.device.memoryChanged(driver.memory);
        break;
      case "reset":
        fresh(driver, 4);
        queued.reset();
        paused = false;
        sessions.splice(0, 2, driver.open(), driver.open());
        break;
    }
    queued.follow(sent);
  }
  checkAnswers(all);
  driver.memory.checkGuards();
  for (const { index, bytesused, length } of driver.frames)
    if (index >= 32 || bytesused > length) throw new Error(`a frame of ${bytesused} in ${length}`);
  fresh(driver, 16);
  if (driver.region.mapped.size > 0) throw new Error("a mapping was left");
  const program = new MediaProgram(driver);
  program.setFormat({ width: 32, height: 16, format: "YUYV" });
  if (program.request(32).q.count !== 4) throw new Error("the quota did not come back");
  program.map(0);
  program.queue(0);
  if (program.on() !== 0) throw new Error("STREAMON failed");
  driver.source.show(0x42);
  if (driver.frames.length !== 1 || program.bytes(0)[1023] !== 0x42) throw new Error("no picture");
}

// Fuzzing of the virtio-video device: command bodies, and sequences of valid commands.

import { openNull } from "../../src/video/codec/null.ts";
import { decoderOn } from "../../src/video/codec/v4l2-decoder.ts";
import { commands } from "../../src/video/commands.ts";
import { Stretches } from "../../src/video/stretches.ts";
import * as s from "../../src/video/structs.ts";
import { FakeDecoder, type FakeOptions } from "../support/fake-decoder.ts";
import { FakeDmabufs } from "../support/fake-dmabufs.ts";
import { fwhtFrame } from "../support/fwht.ts";
import type { Random } from "../support/random.ts";
import { BASE, type LocalDriver, localDriver, type Sent } from "../support/video-driver.ts";
import { defineTarget } from "./target.ts";

const MEMORY = 256 * 1024;
const SECOND = 0x9000_0000n;
const rows = [...commands.values()];

/** The device for all cases of a run; each begins with a reset. */
function freshDriver(): LocalDriver {
  return localDriver(openNull(), { memoryBytes: MEMORY, eventBuffers: 0 });
}

function checkOnce(sent: readonly Sent[]): void {
  for (const { answers, room, reply } of sent) {
    if (answers > 1) throw new Error(`answered ${answers} times`);
    if ((reply?.length ?? 0) > room) throw new Error("answer longer than its room");
  }
}

/** A command of any bytes. */
export interface Body {
  readonly bytes: number[];
  readonly room: number;
}

export function body(random: Random): Body {
  const row = rows[random.below(rows.length)] ?? rows[0];
  if (row === undefined) throw new Error("no commands");
  const tail = random.chance(3) ? random.below(80) : row.name === "RESOURCE_CREATE" ? 16 : 0;
  const bytes = new Uint8Array(new ArrayBuffer(row.request.size + tail));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, random.chance(40) ? random.bits() : row.type, true);
  view.setUint32(4, random.chance(10) ? random.hostile() : 1, true);
  if (bytes.length >= 12)
    view.setUint32(8, random.chance(6) ? random.hostile() : 0x100 + random.below(2), true);
  for (let at = 12; at + 4 <= row.request.size; at += 4)
    if (!random.chance(3))
      view.setUint32(at, random.chance(2) ? random.below(9) : random.hostile(), true);
  for (let at = row.request.size; at + 16 <= bytes.length; at += 16) {
    const where = random.chance(4) ? BigInt(random.bits()) << BigInt(random.below(33)) : BASE;
    view.setBigUint64(
      at,
      (where + BigInt(random.below(MEMORY + 4096))) & 0xffff_ffff_ffff_ffffn,
      true,
    );
    view.setUint32(at + 8, random.chance(3) ? random.hostile() : random.below(20_000), true);
  }
  const length = random.chance(8) ? random.below(bytes.length + 1) : bytes.length;
  return {
    bytes: [...bytes.subarray(0, length)],
    room: random.chance(8) ? random.below(40) : 4096,
  };
}

/** Bodies of commands: no error escapes, nothing is answered twice, the device still works. */
export const videoBodies = defineTarget<Body>({
  name: "bodies",
  title: "command bodies of any content",
  script: (random) => Array.from({ length: 1 + random.below(3) }, () => body(random)),
  open() {
    const driver = freshDriver();
    return {
      attempt: (script) => sendBodies(driver, script),
      [Symbol.dispose]: () => driver[Symbol.dispose](),
    };
  },
});

function sendBodies(driver: LocalDriver, script: readonly Body[]): void {
  driver.answered.length = 0;
  driver.start();
  driver.create(1);
  driver.setParams(1, s.INPUT, { width: 64, height: 64 });
  driver.resource(1, s.INPUT, 1, [[{ address: BASE, length: 4096 }]]);
  driver.resource(1, s.OUTPUT, 2, [[{ address: BASE + 4096n, length: 8192 }]]);
  driver.queue(1, s.OUTPUT, 2);
  const sent = script.map(({ bytes, room }) => driver.raw(new Uint8Array(bytes), room));
  for (const one of sent) {
    const type = new DataView(one.bytes.buffer).byteLength >= 8 ? one.bytes[1] : 0;
    // Only RESOURCE_QUEUE and STREAM_DRAIN may be held.
    if (one.held && !(type === 1 && [3, 5].includes(one.bytes[0] ?? 0)))
      throw new Error("no answer");
  }
  const code = driver.capability(s.INPUT).code;
  if (code !== 0x201) throw new Error(`QUERY_CAPABILITY answered 0x${code.toString(16)}`);
  checkOnce(sent);
  driver.memory.checkGuards();
}

type Step =
  | { readonly op: "create" | "destroy" | "drain"; readonly stream: number }
  | {
      readonly op: "resource" | "queue";
      readonly stream: number;
      readonly queue: number;
      readonly id: number;
      readonly n: number;
    }
  | { readonly op: "clear" | "destroyAll" | "get"; readonly stream: number; readonly queue: number }
  | { readonly op: "set"; readonly stream: number; readonly queue: number; readonly n: number }
  | { readonly op: "decoder"; readonly n: number }
  | { readonly op: "event" | "pause" | "resume" | "reset" | "unplug" | "plug" };

function step(random: Random): Step {
  const stream = 1 + random.below(2);
  const queue = 0x100 + random.below(2);
  const id = 1 + random.below(4);
  const n = random.below(8);
  const kind = random.below(40);
  if (kind < 15) return { op: "queue", stream, queue, id, n };
  if (kind < 20) return { op: "resource", stream, queue, id, n };
  if (kind < 24) return { op: "get", stream, queue };
  if (kind < 26) return { op: "set", stream, queue, n };
  if (kind < 29) return { op: "clear", stream, queue };
  if (kind < 30) return { op: "destroyAll", stream, queue };
  if (kind < 33) return { op: random.pick(["create", "destroy", "drain"]), stream };
  if (kind < 36) return { op: "drain", stream };
  return {
    op: random.chance(8)
      ? random.pick(["unplug", "plug"])
      : random.pick(["event", "event", "pause", "resume", "reset"]),
  };
}

const sizes = [
  [16, 16],
  [64, 64],
  [80, 48],
  [128, 64],
] as const;
const first = { address: BASE, length: MEMORY };
const second = { address: SECOND, length: MEMORY };

/** A stream with resources, then any commands. */
function sequence(random: Random): Step[] {
  return [
    { op: "create", stream: 1 },
    ...[1, 2, 3].flatMap((id) => [
      { op: "resource" as const, stream: 1, queue: s.INPUT, id, n: id },
      { op: "resource" as const, stream: 1, queue: s.OUTPUT, id, n: 7 },
    ]),
    ...Array.from({ length: 6 + random.below(16) }, () => step(random)),
  ];
}

/** Valid commands in any order: everything is answered once, and clear, destroy and drain have their documented effects. */
export const videoSequences = defineTarget<Step>({
  name: "sequences",
  title: "valid commands in random order",
  script: sequence,
  open() {
    const driver = freshDriver();
    driver.memory.replace([first, second]);
    const clips = sizes.map(([w, h]) => Buffer.concat([fwhtFrame(w, h, 20), fwhtFrame(w, h, 0)]));
    return {
      attempt: (script) => play(driver, clips, script),
      [Symbol.dispose]: () => driver[Symbol.dispose](),
    };
  },
});

/** Kinds of V4L2 decoders. */
const decoders: readonly FakeOptions[] = [
  {},
  { multiplanar: true },
  { userPointers: true },
  { userPointers: true, multiplanar: true, forgetsStart: true },
  { userPointers: true, refusesPointers: true },
  { userPointers: true, late: "finishes" },
  { userPointers: true, multiplanar: true, forgetsStart: true, late: "finishes" },
  { multiplanar: true, raw: ["NM12"], forgetsStart: true },
  { dmabufs: new Map() },
  { dmabufs: new Map(), multiplanar: true, late: "finishes" },
];

/** The same with the V4L2 back-end, on decoders of all kinds: it must neither spin nor leave descriptors open. */
export const decoderSequences = defineTarget<Step>({
  name: "decoder",
  title: "valid commands in random order, decoded by fake V4L2 devices",
  script(random) {
    const on = (queue: number) => ({ stream: 1, queue });
    const [create, ...rest] = sequence(random);
    const resources = rest.slice(0, 6);
    return [
      { op: "decoder", n: random.below(decoders.length) },
      ...(create === undefined ? [] : [create]),
      ...(random.chance(2) ? [{ op: "set" as const, ...on(s.INPUT), n: 0 }] : []),
      { op: "event" },
      { op: "event" },
      ...resources,
      { op: "queue", ...on(s.INPUT), id: 1, n: 2 * random.below(3) },
      { op: "get", ...on(s.OUTPUT) },
      { op: "queue", ...on(s.OUTPUT), id: 1, n: 0 },
      // Most commands after that are about this stream.
      ...[...rest.slice(6), ...Array.from({ length: 8 }, () => step(random))].map((one) =>
        "stream" in one && !random.chance(4) ? { ...one, stream: 1 } : one,
      ),
    ];
  },
  open() {
    const owned = new DisposableStack();
    const clips = sizes.map(([w, h]) => Buffer.concat([fwhtFrame(w, h, 20), fwhtFrame(w, h, 0)]));
    const kinds = decoders.map((options) => {
      const dmabufs = owned.use(new FakeDmabufs());
      const takes = options.dmabufs === undefined ? {} : { dmabufs: dmabufs.memory };
      const fake = new FakeDecoder({ ...options, ...takes });
      const backend = owned.use(decoderOn(fake.open(), () => fake.open()));
      const stretches = new Stretches({ makeDmabuf: dmabufs.make });
      const memory = { memoryBytes: MEMORY, eventBuffers: 0, stretches };
      const driver = owned.use(localDriver(backend, { ...memory, watcher: fake.watcher }));
      driver.memory.replace([first, second]);
      return { fake, driver };
    });
    return {
      attempt(script) {
        const chosen = script.find((one) => one.op === "decoder");
        const kind = kinds[chosen?.n ?? 0];
        if (kind === undefined) throw new Error("no such decoder");
        const { fake, driver } = kind;
        play(driver, clips, script, () => {
          fake.settle();
          while (fake.finishLate()) fake.settle();
        });
        if (fake.contexts.filter(({ closed }) => !closed).length !== 1)
          throw new Error("a decoder was left open");
        fake.contexts.length = 1;
      },
      [Symbol.dispose]: () => owned.dispose(),
    };
  },
});

/** Throws when guest memory changes while the rings stand still. */
function unwritten(driver: LocalDriver, settle: () => void): void {
  const before = driver.memory.bytes(BASE, MEMORY).slice();
  settle();
  if (Buffer.compare(before, driver.memory.bytes(BASE, MEMORY)) !== 0)
    throw new Error("guest memory was written while the rings stood still");
}

function play(
  driver: LocalDriver,
  clips: readonly Uint8Array[],
  script: readonly Step[],
  settle: () => void = () => undefined,
): void {
  const { device } = driver;
  device.reset();
  driver.answered.length = 0;
  driver.events.length = 0;
  driver.memory.checkGuards();
  if (driver.memory.resolve(SECOND, 1n) === undefined) driver.memory.replace([first, second]);
  driver.start();
  let paused = false;
  let held: { sent: Sent; stream: number; queue: number }[] = [];
  const all: Sent[] = [];
  const ofStream = (stream: number, queue?: number) =>
    held.filter((h) => h.stream === stream && (queue === undefined || h.queue === queue));
  const expectDone = (which: typeof held, why: string) => {
    if (which.some(({ sent }) => sent.held)) throw new Error(`${why}: something is still held`);
  };
  for (const [i, one] of script.entries()) {
    const isCommand = "stream" in one;
    if (isCommand && paused) continue; // the rings are stopped
    switch (one.op) {
      case "create":
        driver.create(one.stream);
        break;
      case "destroy": {
        const sent = driver.destroy(one.stream);
        expectDone(ofStream(one.stream), "STREAM_DESTROY");
        if (driver.answered.at(-1) !== sent) throw new Error("answered before what it ended");
        break;
      }
      case "drain": {
        const sent = driver.drain(one.stream);
        held.push({ sent, stream: one.stream, queue: s.INPUT });
        all.push(sent);
        break;
      }
      case "resource": {
        const base = one.n % 3 === 2 ? SECOND : BASE;
        const address = base + BigInt(one.queue === s.INPUT ? one.id * 1000 : 16_384 * one.id);
        // Pictures in one piece, or in two that whole pages make one stretch.
        const swapped = one.queue === s.OUTPUT && (one.n + one.id) % 2 === 0;
        const half = one.queue === s.INPUT ? 400 : swapped ? 8192 : 1 + one.n * 2000;
        const pieces = [
          { address, length: half },
          { address: address + BigInt(half), length: half },
        ];
        driver.resource(one.stream, one.queue, one.id, [swapped ? pieces.reverse() : pieces]);
        break;
      }
      case "queue": {
        const clip = clips[one.n % clips.length];
        const size = one.n < 6 ? (clip?.length ?? 0) - (one.n % 2) * 30 : 33;
        const at = (base: bigint) => driver.memory.resolve(base + BigInt(one.id * 1000), 500n)?.[0];
        if (clip !== undefined && one.queue === s.INPUT)
          for (const base of [BASE, SECOND]) at(base)?.bytes.set(clip);
        const sent = driver.queue(one.stream, one.queue, one.id, [size], BigInt(i));
        held.push({ sent, stream: one.stream, queue: one.queue });
        all.push(sent);
        break;
      }
      case "clear":
      case "destroyAll": {
        const sent =
          one.op === "clear"
            ? driver.clear(one.stream, one.queue)
            : driver.destroyAll(one.stream, one.queue);
        if (sent.held) throw new Error("QUEUE_CLEAR was not answered");
        // A drain belongs to INPUT, and DESTROY_ALL does not end it.
        const mine = ofStream(one.stream, one.queue).filter(
          ({ sent: h }) => one.op === "clear" || h.bytes[0] !== 3,
        );
        expectDone(mine, one.op);
        break;
      }
      case "get":
        driver.params(one.stream, one.queue);
        break;
      case "set": {
        const [width, height] = sizes[one.n % sizes.length] ?? sizes[0];
        driver.setParams(one.stream, one.queue, { width, height });
        break;
      }
      case "decoder":
        break;
      case "event":
        all.push(driver.postEvent());
        break;
      case "pause":
        if (!paused) device.pause();
        paused = true;
        unwritten(driver, settle);
        break;
      case "resume":
        if (paused) device.resume();
        paused = false;
        break;
      case "reset": {
        const before = driver.answered.length;
        device.reset();
        if (driver.answered.length !== before) throw new Error("answered at a reset");
        driver.start();
        paused = false;
        held = [];
        break;
      }
      case "unplug":
      case "plug":
        driver.memory.replace(one.op === "plug" ? [first, second] : [first]);
        device.memoryChanged(driver.memory);
        break;
    }
    settle();
    if (held.length > 40) held = held.filter(({ sent }) => sent.held);
  }
  if (paused) device.resume();
  for (const stream of [1, 2]) driver.destroy(stream);
  expectDone(held, "the end");
  checkOnce(all);
  driver.memory.checkGuards();
}

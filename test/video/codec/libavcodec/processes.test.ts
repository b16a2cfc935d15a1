// The processes of decoders: one that dies, hangs, grows or breaks the rules costs its stream, and nothing else.
import { expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { CodecBackend } from "../../../../src/video/codec/codec.ts";
import { StartGate } from "../../../../src/video/codec/libavcodec/start-gate.ts";
import * as s from "../../../../src/video/structs.ts";
import { Clips, clipKinds } from "../../../support/clips.ts";
import { type Fault, faults, OUTSIDE } from "../../../support/false-decoder.ts";
import { childrenOf, isRunning } from "../../../support/processes.ts";
import { leftBehind } from "../../../support/resources.ts";
import { softwareDecoder } from "../../../support/software-decoder.ts";
import { type LocalDriver, localDriver, type Sent } from "../../../support/video-driver.ts";

const VP8 = 0x1004;
const [WIDTH, HEIGHT] = [176, 144];
const PICTURE = (WIDTH * HEIGHT * 3) / 2;
const MEMORY = 64 * 1024 * 1024;
const OUTPUTS = [11, 12, 13, 14];
const WAIT_MS = 20_000;

const clips = new Clips();

/** The frames of a clip in VP8: the decoder gives a picture for each of them at once. */
function frames(): Uint8Array[] {
  const kind = clipKinds.find(({ name }) => name === "VP8");
  if (kind === undefined) throw new Error("there is no clip in VP8");
  const { bytes, units } = clips.get(kind);
  return units.map(({ at, length }) => bytes.subarray(at, at + length));
}

/** A stream with buffers: inputs 1 to 4, outputs 11 to 14. */
class TestStream {
  readonly id: number;
  readonly #driver: LocalDriver;
  readonly #inputs: bigint[];
  #next = 0;

  constructor(driver: LocalDriver, id: number) {
    this.#driver = driver;
    this.id = id;
    driver.create(id, { format: VP8 });
    driver.setParams(id, s.OUTPUT, { format: 4, width: WIDTH, height: HEIGHT });
    this.#inputs = [1, 2, 3, 4].map((n) => driver.simple(id, s.INPUT, n, 65_536));
    for (const n of OUTPUTS) driver.simple(id, s.OUTPUT, n, PICTURE);
  }

  /** Queues the next frame in input `n`. */
  feed(n: number): Sent {
    const frame = frames()[this.#next] ?? new Uint8Array(0);
    this.#next += 1;
    this.#driver.memory.bytes(this.#inputs[n - 1] ?? 0n, frame.length).set(frame);
    return this.#driver.queue(this.id, s.INPUT, n, [frame.length], BigInt(this.#next));
  }
  want(n: number): Sent {
    return this.#driver.queue(this.id, s.OUTPUT, n);
  }
  /** One picture, from its bitstream. */
  async decode(): Promise<void> {
    const picture = this.want(11);
    this.feed(1);
    await this.#driver.until(() => !picture.held, WAIT_MS);
    expect([picture.flags, picture.size]).toEqual([0, PICTURE]);
  }
}

/** Sockets and memory that this process has open. The runtime's descriptors of ended processes come and go. */
function ownDescriptors(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the descriptor of the list itself
    }
  });
  return links.filter((link) => /^socket:|^\/memfd:framepass/.test(link)).length;
}

const errorsOf = (driver: LocalDriver, stream: number) =>
  driver.eventList.filter(([type, id]) => type === s.EVENT_ERROR && id === stream).length;

/** The process of the stream that was created last. */
function newest(before: readonly number[]): number {
  const [pid] = childrenOf(process.pid).filter(
    (child) => !before.includes(child) && isRunning(child),
  );
  if (pid === undefined) throw new Error("no process was started");
  return pid;
}

/** The first stream gets a false decoder, all others the real one. */
function backendWith(fault: Fault): CodecBackend {
  const words = [join(import.meta.dir, "../../../support/false-decoder.ts"), fault];
  const program = { file: process.execPath, name: "bun", words };
  const limits = { maxWidth: 640, maxHeight: 480 };
  const wrong = softwareDecoder({ program, ...limits });
  const good = softwareDecoder(limits);
  let opened = 0;
  return {
    ...good,
    open: (...of) => (opened++ === 0 ? wrong : good).open(...of),
  };
}

const allFaults: Fault[] = [
  ...(Object.keys(faults) as Fault[]),
  "a call that does not return",
  "too much memory",
];

test.each(allFaults)(
  "%s: one ERROR event, every buffer comes back, and the other stream goes on",
  async (fault) => {
    frames(); // made once
    const owned = ownDescriptors();
    const { mappings } = await leftBehind("framepass", async () => {
      using driver = localDriver(backendWith(fault), { memoryBytes: MEMORY });
      const before = childrenOf(process.pid);
      const bad = new TestStream(driver, 1);
      const pid = newest(before);
      const good = new TestStream(driver, 2);
      const held = OUTPUTS.map((n) => bad.want(n));
      bad.feed(1);
      await good.decode();
      await driver.until(() => errorsOf(driver, 1) > 0, WAIT_MS);
      expect(held.map(({ flags }) => flags)).toEqual(held.map(() => s.BUFFER_ERR));
      await good.decode();
      await driver.until(() => !isRunning(pid), WAIT_MS);
      expect([errorsOf(driver, 1), errorsOf(driver, 2)]).toEqual([1, 0]);
      driver.destroy(1);
      driver.destroy(2);
      await driver.until(() => childrenOf(process.pid).length <= before.length, WAIT_MS);
    });
    expect([mappings, ownDescriptors()]).toEqual([0, owned]);
  },
  40_000,
);

test(`${OUTSIDE} comes back with an error, and nothing is read there`, async () => {
  using driver = localDriver(backendWith(OUTSIDE), { memoryBytes: MEMORY });
  const stream = new TestStream(driver, 1);
  const picture = stream.want(11);
  stream.feed(1);
  await driver.until(() => !picture.held, WAIT_MS);
  expect([picture.flags, errorsOf(driver, 1)]).toEqual([s.BUFFER_ERR, 0]);
});

test("a call of the runtime that the fence denies, between a call and its errno, does not end a decoder", async () => {
  const words = [join(import.meta.dir, "../../../support/overwriting-decoder.ts")];
  const program = { file: process.execPath, name: "bun", words };
  const backend = softwareDecoder({ program, maxWidth: 640, maxHeight: 480 });
  using driver = localDriver(backend, { memoryBytes: MEMORY });
  const stream = new TestStream(driver, 1);
  for (let i = 0; i < 5; i++) await stream.decode();
  expect(errorsOf(driver, 1)).toBe(0);
}, 40_000);

/** What a stream does before its process is killed. */
const states: [string, (stream: TestStream, driver: LocalDriver) => Promise<void> | void][] = [
  ["that has just been started", () => undefined],
  ["with bitstream only", (stream) => void stream.feed(1)],
  [
    "whose pictures have no buffers",
    async (stream, driver) => {
      for (const n of [1, 2, 3]) stream.feed(n);
      await driver.until(() => driver.eventList.length > 0, WAIT_MS);
    },
  ],
  ["that waits for bitstream", async (stream) => await stream.decode()],
  [
    "that is drained",
    async (stream, driver) => {
      await stream.decode();
      stream.feed(2);
      driver.drain(stream.id);
    },
  ],
  [
    "that was drained",
    async (stream, driver) => {
      await stream.decode();
      stream.want(12);
      const drain = driver.drain(stream.id);
      await driver.until(() => !drain.held, WAIT_MS);
    },
  ],
  [
    "after a seek",
    async (stream, driver) => {
      await stream.decode();
      driver.clear(stream.id, s.INPUT);
    },
  ],
];

test.each(states)("kill -9 of a process %s costs its stream alone", async (_, prepare) => {
  using driver = localDriver(softwareDecoder(), { memoryBytes: MEMORY });
  const before = childrenOf(process.pid);
  const victim = new TestStream(driver, 1);
  const pid = newest(before);
  const other = new TestStream(driver, 2);
  await prepare(victim, driver);
  const held = OUTPUTS.slice(2).map((n) => victim.want(n));
  process.kill(pid, "SIGKILL");
  await driver.until(() => errorsOf(driver, 1) > 0, WAIT_MS);
  expect(held.every((sent) => !sent.held)).toBe(true);
  await other.decode();
  await driver.until(() => !isRunning(pid), WAIT_MS);
  expect([errorsOf(driver, 1), errorsOf(driver, 2)]).toEqual([1, 0]);
});

test("a process that is killed while the rings are paused is noticed when they run again", async () => {
  using driver = localDriver(softwareDecoder(), { memoryBytes: MEMORY });
  const before = childrenOf(process.pid);
  const victim = new TestStream(driver, 1);
  const pid = newest(before);
  await victim.decode();
  const held = victim.want(12);
  driver.device.pause();
  process.kill(pid, "SIGKILL");
  await driver.until(() => !isRunning(pid), WAIT_MS);
  expect(held.held).toBe(true);
  driver.device.resume();
  await driver.until(() => errorsOf(driver, 1) === 1, WAIT_MS);
  expect(held.flags).toBe(s.BUFFER_ERR);
});

test("eight streams at once: one is killed, the other seven go on to their last picture", async () => {
  using driver = localDriver(softwareDecoder(), { memoryBytes: MEMORY });
  const before = childrenOf(process.pid);
  const victim = new TestStream(driver, 1);
  const pid = newest(before);
  const others = [2, 3, 4, 5, 6, 7, 8].map((id) => new TestStream(driver, id));
  for (const stream of [victim, ...others]) await stream.decode();
  process.kill(pid, "SIGKILL");
  for (let i = 0; i < 5; i++) for (const stream of others) await stream.decode();
  expect(driver.eventList.filter(([type]) => type === s.EVENT_ERROR)).toEqual([[s.EVENT_ERROR, 1]]);
});

test("a decoder's process has three descriptors of the daemon and no environment of its own", async () => {
  using driver = localDriver(softwareDecoder(), { memoryBytes: MEMORY });
  const before = childrenOf(process.pid);
  const stream = new TestStream(driver, 1);
  const pid = newest(before);
  await stream.decode();
  const text = (await Bun.file(`/proc/${pid}/environ`).text())
    .split("\0")
    .filter((it) => it !== "");
  expect(text.every((it) => /^(FRAMEPASS_DECODER_DAEMON|LD_LIBRARY_PATH)=/.test(it))).toBe(true);
  const maps = await Bun.file(`/proc/${pid}/maps`).text();
  expect(maps).not.toContain("guest");
});

test("a process that cannot be started is a refusal: STREAM_CREATE is answered OUT_OF_MEMORY", () => {
  const program = { file: "/nonexistent/program", name: "none", words: [] };
  using driver = localDriver(softwareDecoder({ program }), { memoryBytes: MEMORY });
  expect(driver.create(1, { format: VP8 }).code).toBe(s.response.ERR_OUT_OF_MEMORY);
});

test("a guest that creates and destroys streams in a loop has few processes started, and its next stream decodes", async () => {
  using driver = localDriver(softwareDecoder({ gate: new StartGate(2, 2) }), {
    memoryBytes: MEMORY,
  });
  const before = childrenOf(process.pid);
  const started = new Set<number>();
  const startMs = performance.now();
  for (let i = 0; i < 50; i++) {
    new TestStream(driver, 1);
    for (const pid of childrenOf(process.pid)) started.add(pid);
    driver.destroy(1);
  }
  const stream = new TestStream(driver, 2);
  await stream.decode();
  for (const pid of childrenOf(process.pid)) started.add(pid);
  for (const pid of before) started.delete(pid);
  const allowed = 2 + Math.ceil(((performance.now() - startMs) / 1000) * 2);
  expect(started.size).toBeLessThanOrEqual(allowed);
  expect([errorsOf(driver, 1), errorsOf(driver, 2)]).toEqual([0, 0]);
});

test("a process that had to wait and cannot be started is one ERROR event, and its bitstream comes back", async () => {
  const gate = new StartGate(1, 10);
  const program = { file: "/nonexistent/program", name: "none", words: [] };
  const good = softwareDecoder({ gate });
  const wrong = softwareDecoder({ program, gate });
  let opened = 0;
  const backend: CodecBackend = {
    ...good,
    open: (...of) => (opened++ === 0 ? good : wrong).open(...of),
  };
  using driver = localDriver(backend, { memoryBytes: MEMORY });
  new TestStream(driver, 1);
  const late = new TestStream(driver, 2);
  const held = late.want(11);
  await driver.until(() => errorsOf(driver, 2) === 1, WAIT_MS);
  expect([held.flags, errorsOf(driver, 1)]).toEqual([s.BUFFER_ERR, 0]);
});

test("a process that ends before it has heard anything is one ERROR event", async () => {
  const program = { file: "/bin/true", name: "true", words: [] };
  using driver = localDriver(softwareDecoder({ program }), { memoryBytes: MEMORY });
  const stream = new TestStream(driver, 1);
  const picture = stream.want(11);
  await driver.until(() => errorsOf(driver, 1) === 1, WAIT_MS);
  expect(picture.flags).toBe(s.BUFFER_ERR);
});

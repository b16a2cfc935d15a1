// The shared memory region of a device: what is offered, how the front-end is asked, and every way in which that can fail.
import { expect, test } from "bun:test";
import { Fd } from "../../ffi/fd.ts";
import type { Loop } from "../../src/loop.ts";
import * as p from "../../src/vhost/payloads.ts";
import { BufferMemory, Quota } from "../../src/virtio/buffer-memory.ts";
import { MAP_LIMIT_MS, type RegionMapping } from "../../src/virtio/shared-memory.ts";
import type { DeviceHost } from "../../src/virtio/virtio-device.ts";
import { Random } from "../support/random.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { BufferMonitor } from "../support/vhost/buffer-monitor.ts";
import { EchoDevice, HOLD } from "../support/vhost/echo-device.ts";
import { payload } from "../support/vhost/front-end.ts";
import { requestParts, roundTrip, type Scene, turns, withDevice } from "../support/vhost/scene.ts";

const MIB = 1 << 20;
const FRAME = 614_400;
const FILE = 655_360;
const MAP = 9;
const UNMAP = 10;
/** A limit for answers that a busy machine keeps when it answers at once. */
const LIMIT_MS = 500;

class RegionDevice extends EchoDevice {
  readonly sharedMemoryBytes = 16 * MIB;
  readonly answerLimitMs: number = 100_000;
}

interface Running extends Scene<RegionDevice> {
  readonly buffers: BufferMonitor;
  readonly quota: Quota;
  readonly memory: BufferMemory;
  readonly host: DeviceHost;
}

/** A scene whose device runs, with a buffer that is not mapped yet. */
function running(act: (scene: Running) => Promise<void>, device = RegionDevice): Promise<void> {
  return withDevice(
    {},
    () => new device(),
    async (scene) => {
      const { buffers } = scene;
      if (buffers === undefined) throw new Error("no region");
      await scene.hypervisor.realize();
      await scene.hypervisor.activate();
      await roundTrip(scene, Uint8Array.of(0, 1, 2), 3); // as a driver does: the ring's index is not 0
      const { host } = scene.device;
      if (host === undefined) throw new Error("the device was not started");
      const quota = new Quota(16 * MIB);
      using memory = BufferMemory.create(quota, FRAME, "buffer");
      if (memory === undefined) throw new Error("no memory");
      await act({ ...scene, buffers, quota, memory, host });
      expect(buffers.crashes).toBe(0);
    },
  );
}

/** Maps a buffer; undefined when that was refused. */
function map(
  { loop, host }: Pick<Running, "loop" | "host">,
  memory: BufferMemory,
  writable = true,
): Promise<RegionMapping | undefined> {
  const { promise, resolve } = loop.promise<RegionMapping | undefined>();
  host.sharedMemory?.map(memory, writable, resolve);
  return promise;
}

/** Waits until a condition holds. */
async function until(loop: Loop, holds: () => boolean): Promise<void> {
  const lateMs = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > lateMs) throw new Error("it does not come to that");
    await turns(loop, 1);
  }
}

/** Another driver starts. `keeps`: the monitor leaves the mappings in place at the reset, as crosvm does. */
const restart = async (scene: Running, keeps = false) => {
  await scene.hypervisor.stop();
  if (!keeps) scene.buffers.removeAll();
  for (const queue of scene.queues) queue.reset();
  await scene.hypervisor.activate({ memory: false });
  await roundTrip(scene, Uint8Array.of(0), 1);
};

test("a device with a region offers SHMEM and its own requests, and no tracking of chains in flight", () =>
  withDevice(
    {},
    () => new RegionDevice(),
    async ({ frontEnd }) => {
      // MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD, RESET_DEVICE, CONFIGURE_MEM_SLOTS, STATUS, SHMEM
      expect(await frontEnd.word("GET_PROTOCOL_FEATURES")).toBe(0x41_a629n);
      frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(0x41_a629n));
      const { bytes } = await frontEnd.ask("GET_SHMEM_CONFIG");
      expect(bytes.length).toBe(2056);
      const view = new DataView(bytes.buffer);
      expect(view.getUint32(0, true)).toBe(1);
      expect(view.getBigUint64(8, true)).toBe(16n * BigInt(MIB));
      expect(bytes.subarray(16).every((byte) => byte === 0)).toBe(true);
      expect(await frontEnd.word("GET_MAX_MEM_SLOTS")).toBe(256n);
    },
  ));

test("a buffer is mapped and removed: the guest sees its bytes, and its space is used again", () =>
  running(async (scene) => {
    const { loop, buffers, memory, quota } = scene;
    const first = await map(scene, memory);
    expect(first?.offset).toBe(0);
    expect(buffers.requests).toEqual([
      { request: MAP, flags: 9, offset: 0, length: FILE, writable: true },
    ]);
    memory.bytes[100] = 77;
    expect(buffers.mapped.get(0)?.bytes[100]).toBe(77);
    using other = BufferMemory.create(quota, FRAME, "buffer");
    if (other === undefined) throw new Error("no memory");
    expect((await map(scene, other, false))?.offset).toBe(FILE);
    expect(buffers.mapped.get(FILE)?.writable).toBe(false);
    first?.unmap();
    first?.unmap();
    await until(loop, () => buffers.mapped.size === 1);
    await turns(loop);
    expect(buffers.requests.filter(({ request }) => request === UNMAP)).toEqual([
      { request: UNMAP, flags: 9, offset: 0, length: FILE, writable: false },
    ]);
    expect((await map(scene, memory))?.offset).toBe(0);
  }));

test("the quota is given back when the front-end has removed the buffer, not before", () =>
  running(async (scene) => {
    const { loop, buffers, memory, quota } = scene;
    const mapping = await map(scene, memory);
    memory[Symbol.dispose]();
    expect(quota.used).toBe(FILE);
    buffers.answering = false;
    mapping?.unmap();
    await until(loop, () => buffers.waiting === 1);
    expect(quota.used).toBe(FILE);
    buffers.answering = true;
    await until(loop, () => quota.used === 0);
  }));

test("a refused buffer is not mapped, a full region refuses without a request", () =>
  running(async (scene) => {
    const { buffers, memory, quota } = scene;
    buffers.refusing = true;
    expect(await map(scene, memory)).toBeUndefined();
    buffers.refusing = false;
    using most = BufferMemory.create(quota, 15 * MIB, "buffer");
    if (most === undefined) throw new Error("no memory");
    expect((await map(scene, most))?.offset).toBe(0);
    expect((await map(scene, memory))?.offset).toBe(15 * MIB);
    const before = buffers.requests.length;
    expect(await map(scene, memory)).toBeUndefined();
    expect(buffers.requests.length).toBe(before);
  }));

test("a buffer whose removal is refused keeps its space until the driver ends", () =>
  running(async (scene) => {
    const { loop, buffers, memory, quota } = scene;
    const mapping = await map(scene, memory);
    buffers.refusing = true;
    mapping?.unmap();
    await until(loop, () => buffers.requests.length === 2);
    await turns(loop);
    buffers.refusing = false;
    expect((await map(scene, memory))?.offset).toBe(FILE);
    await restart(scene);
    memory[Symbol.dispose]();
    expect(quota.used).toBe(0);
  }));

test("an answer that never comes ends the wait, and nothing else: the next messages are served meanwhile", () =>
  running(async (scene) => {
    const { loop, frontEnd, buffers, memory } = scene;
    buffers.answering = false;
    const from = performance.now();
    const waits = map(scene, memory);
    await until(loop, () => buffers.waiting === 1);
    await frontEnd.settled(); // GET_FEATURES, while a request of ours is in flight
    await roundTrip(scene, Uint8Array.of(0, 9), 2);
    const second = map(scene, memory); // waits behind the first, and is never sent
    expect(await waits).toBeUndefined();
    expect(await second).toBeUndefined();
    expect(performance.now() - from).toBeGreaterThanOrEqual(MAP_LIMIT_MS - 1);
    expect(buffers.waiting).toBe(1);
    // The answer comes after all: what was mapped is removed again, and the next buffer gets the space.
    buffers.answering = true;
    await until(loop, () => buffers.requests.length === 2 && buffers.mapped.size === 0);
    expect(buffers.requests[1]?.request).toBe(UNMAP);
    await turns(loop);
    expect((await map(scene, memory))?.offset).toBe(0);
  }));

const word = (value: bigint) => payload.word(value);
const answer = (request: number, flags: number, body: Uint8Array<ArrayBuffer>, size?: number) => {
  const bytes = new Uint8Array(new ArrayBuffer(p.header.size + body.length));
  Object.assign(p.header.over(bytes), { request, flags, size: size ?? body.length });
  bytes.set(body, p.header.size);
  return bytes;
};

test.each([
  { what: "to another request", bytes: answer(UNMAP, 5, word(0n)) },
  { what: "of version 2", bytes: answer(MAP, 6, word(0n)) },
  { what: "that is a request", bytes: answer(MAP, 1, word(0n)) },
  { what: "of 4 bytes", bytes: answer(MAP, 5, new Uint8Array(new ArrayBuffer(8)), 4) },
  { what: "of 4 GiB", bytes: answer(MAP, 5, word(0n), 0xffff_ffff) },
  { what: "of nothing but ones", bytes: new Uint8Array(new ArrayBuffer(20)).fill(0xff) },
])("an answer $what costs the region, and the device goes on", ({ bytes }) =>
  running(async (scene) => {
    const { buffers, memory, host } = scene;
    buffers.answering = false;
    const waits = map(scene, memory);
    await until(scene.loop, () => buffers.waiting === 1);
    buffers.raw(bytes);
    expect(await waits).toBeUndefined();
    expect(host.sharedMemory).toBeUndefined();
    await roundTrip(scene, Uint8Array.of(0, 9), 2);
  }),
);

test("an answer with descriptors, an answer to nothing and the loss of the socket cost the region", async () => {
  const faults: ((scene: Running) => void)[] = [
    ({ buffers }) => buffers.raw(answer(MAP, 5, word(0n)), [buffers.theirs.number]),
    ({ buffers }) => buffers.raw(answer(MAP, 5, word(0n))),
    ({ buffers }) => buffers[Symbol.dispose](),
  ];
  for (const fault of faults) {
    await running(async (scene) => {
      await map(scene, scene.memory);
      fault(scene);
      await until(scene.loop, () => scene.host.sharedMemory === undefined);
      await roundTrip(scene, Uint8Array.of(0, 9), 2);
      await restart(scene);
      expect(scene.host.sharedMemory).toBeUndefined();
    });
  }
});

test("300 random answers cost the region at most: the device is served all the time", () =>
  running(async (scene) => {
    const { loop, frontEnd, memory, host } = scene;
    const random = new Random(47);
    for (let i = 0; i < 300; i++) {
      using other = new BufferMonitor(loop, 16 * MIB);
      other.started = true;
      other.answering = false;
      const fds = [other.theirs.number];
      await frontEnd.acknowledged("SET_BACKEND_REQ_FD", undefined, { fds });
      let answers = 0;
      host.sharedMemory?.map(memory, true, () => {
        answers += 1;
      });
      await until(loop, () => other.waiting > 0);
      const bytes = answer(other.requests[0]?.request ?? 0, 5, word(0n));
      for (let n = random.below(4); n >= 0; n--) bytes[random.below(20)] = random.below(256);
      const sent = bytes.subarray(0, 1 + random.below(20));
      other.raw(sent, random.chance(8) ? [other.theirs.number] : []);
      await turns(loop, 1);
      expect(answers).toBeLessThanOrEqual(1);
    }
    await roundTrip(scene, Uint8Array.of(0, 9), 2);
    using last = new BufferMonitor(loop, 16 * MIB);
    last.started = true;
    await restart(scene); // what was said about the ranges before is forgotten
    const fds = [last.theirs.number];
    await frontEnd.acknowledged("SET_BACKEND_REQ_FD", undefined, { fds });
    expect((await map(scene, memory))?.offset).toBe(0);
  }));

test("half an answer is not an answer: the rest may come later", () =>
  running(async (scene) => {
    const { loop, buffers, memory } = scene;
    buffers.answering = false;
    const waits = map(scene, memory);
    await until(loop, () => buffers.waiting === 1);
    const whole = answer(MAP, 5, word(0n));
    for (const [from, to] of [
      [0, 5],
      [5, 13],
      [13, 20],
    ] as const) {
      buffers.raw(whole.slice(from, to));
      await turns(loop, 3);
    }
    expect((await waits)?.offset).toBe(0);
  }));

test("a second SET_BACKEND_REQ_FD replaces the socket: the old one is closed, what waits there ends", () =>
  running(async (scene) => {
    const { loop, frontEnd, buffers, memory, host } = scene;
    buffers.answering = false;
    const waits = map(scene, memory);
    await until(loop, () => buffers.waiting === 1);
    using next = new BufferMonitor(loop, 16 * MIB);
    next.started = true;
    const fds = [next.theirs.number];
    expect(await frontEnd.acknowledged("SET_BACKEND_REQ_FD", undefined, { fds })).toBe(0n);
    expect(await waits).toBeUndefined();
    expect(host.sharedMemory).toBeDefined();
    // Whether the old one had mapped it is not known, so it is removed, and its space is kept until that is answered.
    await until(loop, () => next.requests.length === 1);
    expect(next.requests[0]).toMatchObject({ request: UNMAP, offset: 0, length: FILE });
    expect((await map(scene, memory))?.offset).toBe(FILE);
  }));

test("SET_BACKEND_REQ_FD without a socket is refused, and a file instead of one leaves no region", () =>
  running(async (scene) => {
    const { frontEnd, memory, host } = scene;
    expect(await frontEnd.acknowledged("SET_BACKEND_REQ_FD")).toBe(1n);
    expect(await map(scene, memory)).toBeDefined();
    using file = Fd.memory("no socket", 4096);
    const fds = [file.number];
    expect(await frontEnd.acknowledged("SET_BACKEND_REQ_FD", undefined, { fds })).toBe(0n);
    expect(host.sharedMemory).toBeUndefined();
    await roundTrip(scene, Uint8Array.of(0, 9), 2);
  }));

test("without REPLY_ACK or SHMEM there is no region", () =>
  running(async (scene) => {
    for (const without of [8n, 0x20n, 0x400n, 0x40_0000n]) {
      scene.frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(0x41_a629n & ~without));
      await scene.frontEnd.settled();
      expect(scene.host.sharedMemory).toBeUndefined();
    }
  }));

test("while the machine is paused the front-end is not asked: QEMU would end", () =>
  running(async (scene) => {
    const { loop, buffers, memory, hypervisor } = scene;
    const mapping = await map(scene, memory);
    const bases = await hypervisor.stop();
    mapping?.unmap();
    const waits = map(scene, memory);
    await turns(loop, 5);
    expect(buffers.requests.length).toBe(1);
    await hypervisor.activate({ memory: false, bases });
    expect((await waits)?.offset).toBe(FILE);
    expect(buffers.requests.map(({ request }) => request)).toEqual([MAP, UNMAP, MAP]);
    expect(scene.device.calls).toEqual(["start", "pause", "resume"]);
  }));

test("the next driver starts with an empty region, also where the front-end has kept the mappings of the last one", () =>
  running(async (scene) => {
    const { loop, buffers, memory, quota } = scene;
    const [first, second] = [await map(scene, memory), await map(scene, memory)];
    expect([first?.offset, second?.offset]).toEqual([0, FILE]);
    await restart(scene, true);
    await until(loop, () => buffers.mapped.size === 0); // it is asked when the driver has started, not at its first buffer
    expect((await map(scene, memory))?.offset).toBe(0);
    expect(buffers.requests.map(({ request }) => request)).toEqual([MAP, MAP, UNMAP, UNMAP, MAP]);
    expect(buffers.requests.slice(2, 4)).toMatchObject([
      { offset: 0, length: FILE },
      { offset: FILE, length: FILE },
    ]);
    await restart(scene, true);
    await until(loop, () => buffers.mapped.size === 0);
    memory[Symbol.dispose]();
    expect(quota.used).toBe(0);
    expect(scene.buffers.crashes).toBe(0);
  }));

test("what an earlier driver has mapped is removed after two resets, and over the next socket when the first is lost", () =>
  running(async (scene) => {
    const { loop, frontEnd, buffers, memory } = scene;
    await map(scene, memory);
    buffers.answering = false;
    await restart(scene, true);
    await until(loop, () => buffers.waiting === 1); // SHMEM_UNMAP is not answered
    await restart(scene, true);
    using next = new BufferMonitor(loop, 16 * MIB);
    next.started = true;
    const fds = [next.theirs.number];
    await frontEnd.acknowledged("SET_BACKEND_REQ_FD", undefined, { fds });
    expect((await map(scene, memory))?.offset).toBe(0);
    expect(next.requests.map(({ request }) => request)).toEqual([UNMAP, MAP]);
  }));

test("the next driver starts with an empty region, and a front-end that has removed all mappings may refuse to do it again", () =>
  running(async (scene) => {
    const { buffers, memory, quota } = scene;
    const old = await map(scene, memory);
    await restart(scene);
    expect(scene.device.calls).toEqual(["start", "pause", "reset", "start"]);
    expect((await map(scene, memory))?.offset).toBe(0);
    old?.unmap();
    await turns(scene.loop);
    expect(buffers.requests.map(({ request }) => request)).toEqual([MAP, UNMAP, MAP]);
    expect(buffers.mapped.size).toBe(1);
    memory[Symbol.dispose]();
    expect(quota.used).toBe(FILE);
  }));

test("a buffer of the last driver that is mapped after its reset is removed before the next one's is mapped", () =>
  running(async (scene) => {
    const { buffers, memory, loop } = scene;
    buffers.answering = false;
    scene.host.sharedMemory?.map(memory, true, () => undefined);
    await until(loop, () => buffers.waiting === 1);
    await restart(scene);
    const next = map(scene, memory);
    buffers.answering = true;
    expect((await next)?.offset).toBe(0);
    expect(buffers.requests.map(({ request }) => request)).toEqual([MAP, UNMAP, MAP]);
    expect(buffers.mapped.size).toBe(1);
  }));

test.each(["RESET_DEVICE", "SET_STATUS"])("%s drops what waits and what is mapped", (name) =>
  running(async (scene) => {
    const { frontEnd, buffers, memory, quota, loop } = scene;
    await map(scene, memory);
    buffers.answering = false;
    let answers = 0;
    scene.host.sharedMemory?.map(memory, true, () => {
      answers += 1;
    });
    await until(loop, () => buffers.waiting === 1);
    await scene.hypervisor.stop();
    await frontEnd.acknowledged(name, name === "SET_STATUS" ? payload.word(0n) : undefined);
    buffers.answering = true;
    await turns(loop, 3);
    memory[Symbol.dispose]();
    expect(answers).toBe(0);
    expect(quota.used).toBe(0);
    expect(buffers.requests.length).toBe(2);
  }),
);

test("a device that throws when its buffer is mapped ends the connection only", () =>
  running(async (scene) => {
    scene.host.sharedMemory?.map(scene.memory, true, () => {
      throw new Error("the device has a defect");
    });
    expect(await scene.frontEnd.closed()).toBe(true);
  }));

test("an answer that comes after the limit of the driver is not given, also after a pause", () =>
  running(
    async (scene) => {
      const { loop, device, commands, hypervisor, ram } = scene;
      commands.add(requestParts(ram, Uint8Array.of(HOLD, 1), 2));
      commands.notify();
      await until(loop, () => device.held.length === 1);
      await loop.sleep(LIMIT_MS + 100, new AbortController().signal);
      device.release();
      commands.add(requestParts(ram, Uint8Array.of(HOLD, 2), 2));
      commands.notify();
      await until(loop, () => device.held.length === 1);
      const bases = await hypervisor.stop();
      device.release(); // kept while the ring is stopped
      await loop.sleep(LIMIT_MS + 100, new AbortController().signal);
      await hypervisor.activate({ memory: false, bases });
      const { answer } = await roundTrip(scene, Uint8Array.of(0, 3), 2);
      expect([...answer]).toEqual([0, 3]);
      expect(commands.usedIndex).toBe(2); // the first of `running`, and the last
    },
    class extends RegionDevice {
      override readonly answerLimitMs = LIMIT_MS;
    },
  ));

test("chains that an earlier process left are not taken: their answers would come late", () =>
  withDevice(
    {},
    () => new RegionDevice(),
    async (scene) => {
      const { commands, hypervisor, device, ram } = scene;
      commands.startAt(7);
      commands.add(requestParts(ram, Uint8Array.of(0, 1), 2));
      await hypervisor.realize();
      await hypervisor.activate({ bases: [7, 0] });
      const { answer } = await roundTrip(scene, Uint8Array.of(0, 2), 2);
      expect([...answer]).toEqual([0, 2]);
      expect(device.requests).toBe(1);
    },
  ));

test("a connection with mapped and waiting buffers leaves nothing behind", async () => {
  const once = () =>
    running(async (scene) => {
      await map(scene, scene.memory);
      scene.buffers.answering = false;
      for (let i = 0; i < 3; i++) scene.host.sharedMemory?.map(scene.memory, true, () => undefined);
      await until(scene.loop, () => scene.buffers.waiting === 1);
    });
  await once();
  expect(await leftBehind("buffer", once)).toEqual(nothing);
});

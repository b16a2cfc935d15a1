// Rings as drivers, monitors and hostile guests use them. Each test checks that nothing beside guest memory was written.
import { expect, test } from "bun:test";
import { Signal } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import { Fd, preadAt, pwriteAt, readAt, writeAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { socketPair } from "../../ffi/socket.ts";
import { queueRegionSplit } from "../../src/vhost/inflight.ts";
import { openDescriptors } from "../support/resources.ts";
import type { DriverQueue, Part } from "../support/vhost/driver.ts";
import { HOLD, THROW } from "../support/vhost/echo-device.ts";
import { payload } from "../support/vhost/front-end.ts";
import { MIB } from "../support/vhost/guest-ram.ts";
import { Hypervisor, monitor } from "../support/vhost/monitors.ts";
import {
  requestParts,
  roundTrip,
  type Scene,
  type SceneOptions,
  turns,
  withScene,
} from "../support/vhost/scene.ts";

const INDIRECT = 1n << 28n;
const EVENT_IDX = 1n << 29n;
const echo = (length = 24) => Uint8Array.from({ length }, (_, i) => i);

/** A running scene. */
async function running(options: SceneOptions, act: (scene: Scene) => Promise<void>): Promise<void> {
  await withScene(options, async (scene) => {
    await scene.hypervisor.realize(options.without);
    await scene.hypervisor.activate();
    await act(scene);
    await turns(scene.loop);
    expect(scene.ram.marginsIntact).toBe(true);
  });
}

test("a chain in odd pieces is one request, and its answer is spread over them", () =>
  running({}, async ({ ram, commands }) => {
    for (const indirect of [false, true]) {
      const request = echo(20);
      const readable = [1, 3, 0, 7, 9].map((length, i, all) => {
        const from = all.slice(0, i).reduce((a, b) => a + b, 0);
        return { at: ram.place(request.subarray(from, from + length)), length, writable: false };
      });
      const writable = [5, 0, 1, 14].map((length) => ({
        at: ram.allocate(16),
        length,
        writable: true,
      }));
      commands.add([...readable, ...writable], { indirect });
      commands.notify();
      expect((await commands.used(1))[0]?.length).toBe(20);
      const got = writable.flatMap(({ at, length }) => [...ram.bytes(at, length)]);
      expect(got).toEqual([...request]);
    }
  }));

test("a part that crosses two regions is read and written whole", () =>
  running(
    {
      places: [
        { guest: 0, size: MIB },
        { guest: MIB, size: MIB },
      ],
    },
    async ({ ram, commands }) => {
      const request = echo(100);
      ram.bytes(MIB - 50, 50).set(request.subarray(0, 50));
      ram.bytes(MIB, 50).set(request.subarray(50));
      const answer = ram.allocate(100);
      commands.add([
        { at: MIB - 50, length: 100, writable: false },
        { at: answer, length: 100, writable: true },
      ]);
      commands.notify();
      await commands.used(1);
      expect(ram.bytes(answer, 100)).toEqual(request);
    },
  ));

test("an answer longer than its room is cut, and not a byte is written behind it", () =>
  running({}, async ({ ram, commands }) => {
    for (const room of [0, 1, 7, 23]) {
      const parts = requestParts(ram, echo(), room);
      const behind = ram.bytes((parts[1]?.at ?? 0) + room, 32);
      ram.allocate(64);
      behind.fill(0x77);
      commands.add(parts, { indirect: true });
      commands.notify();
      expect((await commands.used(1))[0]?.length).toBe(room);
      expect(behind.every((byte) => byte === 0x77)).toBe(true);
    }
  }));

test("a burst in one kick is answered with one interrupt", () =>
  running({}, async ({ ram, commands, loop, connection }) => {
    const { counts } = connection.session.queues;
    const before = counts.interrupts;
    for (let i = 0; i < 40; i++) commands.add(requestParts(ram, echo(), 24), { indirect: true });
    commands.notify();
    await turns(loop);
    expect(commands.takeUsed().length).toBe(40);
    expect(counts.interrupts - before).toBe(1);
  }));

test("what a device answers in one handler of the loop is one interrupt", () =>
  running({ without: EVENT_IDX }, async ({ ram, commands, device, loop, connection }) => {
    const { counts } = connection.session.queues;
    for (let i = 0; i < 8; i++) commands.add(requestParts(ram, Uint8Array.of(HOLD, i), 8));
    commands.notify();
    await turns(loop);
    expect(device.held.length).toBe(8);
    const before = counts.interrupts;
    device.host?.loop.after(0, () => device.release());
    await commands.used(8);
    await turns(loop);
    expect(counts.interrupts - before).toBe(1);
  }));

test.each([
  { what: "EVENT_IDX and INDIRECT", without: 0n },
  { what: "INDIRECT only", without: EVENT_IDX },
  { what: "EVENT_IDX only", without: INDIRECT },
  { what: "neither", without: EVENT_IDX | INDIRECT },
])("$what: 6,000 requests around a ring of 8 come back in order", ({ without }) =>
  running({ without, sizes: [8, 8] }, async ({ ram, commands, loop }) => {
    const { mark } = ram;
    for (let round = 0; round < 1000; round++) {
      ram.mark = mark;
      const indirect = (without & INDIRECT) === 0n && round % 2 === 0;
      const count = indirect ? 8 : 4;
      const heads = Array.from({ length: count }, () =>
        commands.add(requestParts(ram, echo(4), 4), { indirect }),
      );
      commands.notify();
      await turns(loop, 1);
      const back = commands.takeUsed();
      if (back.length < count) back.push(...(await commands.used(count - back.length)));
      const right = back.every(({ head, length }, i) => head === heads[i] && length === 4);
      if (!right) throw new Error(`round ${round}`);
    }
    expect(commands.usedIndex).toBeGreaterThanOrEqual(4000);
  }),
);

test("a ring whose indices are about to wrap goes on past 65535", () =>
  withScene({ sizes: [4, 4] }, async (scene) => {
    const { commands, ram, hypervisor } = scene;
    await hypervisor.realize();
    commands.startAt(65_533);
    await hypervisor.activate({ bases: [65_533, 0] });
    for (let i = 0; i < 8; i++) {
      const { answer } = await roundTrip(scene, echo(5), 5, i % 2 === 0);
      expect(answer).toEqual(echo(5));
    }
    expect(commands.usedIndex).toBe(5);
    expect(ram.marginsIntact).toBe(true);
  }));

test("a ring of 32768 entries is filled and emptied", () =>
  running(
    { sizes: [32_768, 64], places: [{ guest: 0, size: 16 * MIB }] },
    async ({ ram, commands }) => {
      const at = ram.place(echo(8));
      const room = ram.allocate(8);
      const parts: Part[] = [
        { at, length: 8, writable: false },
        { at: room, length: 8, writable: true },
      ];
      for (let i = 0; i < 16_384; i++) commands.add(parts, { publish: false });
      commands.publish();
      commands.notify();
      expect((await commands.used(16_384, 5000)).length).toBe(16_384);
    },
  ));

test("a guest that fills its ring does not keep the front-end's requests waiting until it is empty", () =>
  running(
    { sizes: [32_768, 64], places: [{ guest: 0, size: 16 * MIB }] },
    async ({ ram, commands, frontEnd }) => {
      const at = ram.place(echo(8));
      const parts: Part[] = [{ at, length: 8, writable: false }];
      for (let i = 0; i < 32_768; i++) commands.add(parts, { publish: false });
      commands.publish();
      commands.notify();
      await frontEnd.settled();
      const done = commands.usedIndex;
      expect(done).toBeLessThan(16_384);
      await commands.used(32_768, 8000);
    },
  ));

test("EVENT_IDX: the driver is interrupted at the index it set, and a kick is asked for at the next buffer", () =>
  running({}, async ({ ram, commands, loop }) => {
    commands.call.clear(); // written when the descriptor was replaced
    commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    await turns(loop);
    expect(commands.call.clear()).toBe(1);
    expect(commands.availableEvent).toBe(1);
    commands.takeUsed();
    commands.setUsedEvent(3); // only when the fourth is returned
    for (let i = 0; i < 2; i++) commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    await turns(loop);
    expect(commands.takeUsed().length).toBe(2);
    expect(commands.call.clear()).toBe(0);
    commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    await turns(loop);
    expect(commands.call.clear()).toBe(1);
    expect(commands.availableEvent).toBe(4);
  }));

test("without EVENT_IDX a driver that wants no interrupts gets none", () =>
  running({ without: EVENT_IDX }, async ({ ram, commands, loop }) => {
    commands.call.clear();
    commands.setAvailableFlags(1);
    commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    await turns(loop);
    expect(commands.takeUsed().length).toBe(1);
    expect(commands.call.clear()).toBe(0);
    expect(commands.usedFlags).toBe(0);
  }));

test("a ring is processed on its own kick only: not for messages, not for the other ring", () =>
  running({}, async (scene) => {
    const { ram, commands, events, frontEnd, device, loop } = scene;
    commands.add(requestParts(ram, echo(), 24));
    await frontEnd.settled();
    await frontEnd.acknowledged("SET_FEATURES", payload.word(0x1_7000_0003n));
    await frontEnd.acknowledged("SET_MEM_TABLE", payload.regions(ram.rows), {
      fds: [ram.fd.number],
    });
    events.notify();
    await turns(loop);
    expect(device.requests).toBe(0);
    commands.notify();
    expect((await commands.used(1)).length).toBe(1);
  }));

test("kicks before the ring is enabled are not lost", () =>
  withScene({ monitor: monitor("crosvm") }, async (scene) => {
    const { commands, ram, hypervisor } = scene;
    await hypervisor.realize();
    commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    await turns(scene.loop);
    await hypervisor.activate();
    expect((await commands.used(1)).length).toBe(1);
  }));

test("an interrupt is repeated on a new call descriptor; a new kick descriptor is used", () =>
  running({}, async (scene) => {
    const { commands, frontEnd, ram, loop } = scene;
    await roundTrip(scene, echo(), 24);
    using call = new Signal();
    using kick = new Signal();
    const before = openDescriptors();
    for (let i = 0; i < 3; i++) {
      await frontEnd.acknowledged("SET_VRING_CALL", payload.word(0n), { fds: [call.fd] });
      await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), { fds: [kick.fd] });
    }
    expect(call.clear()).toBeGreaterThan(0);
    expect(openDescriptors()).toBe(before);
    commands.setUsedEvent(1);
    commands.add(requestParts(ram, echo(), 24));
    kick.raise();
    await turns(loop);
    expect(commands.takeUsed().length).toBe(1);
    expect(call.clear()).toBe(1);
  }));

test("without a kick descriptor the ring is polled, without a call descriptor it is not interrupted", () =>
  running({}, async (scene) => {
    const { commands, frontEnd, ram, loop } = scene;
    await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0x100n));
    await frontEnd.acknowledged("SET_VRING_CALL", payload.word(0x100n));
    commands.call.clear();
    commands.add(requestParts(ram, echo(), 24));
    await loop.sleep(50, new AbortController().signal);
    expect(commands.takeUsed().length).toBe(1);
    expect(commands.call.clear()).toBe(0);
  }));

test("a kick descriptor that hangs up or is no eventfd does not spin, and the ring can have another", () =>
  running({}, async (scene) => {
    const { frontEnd, commands, ram, loop } = scene;
    const [ours, theirs] = socketPair();
    await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), { fds: [theirs.number] });
    theirs[Symbol.dispose]();
    ours[Symbol.dispose]();
    const cpu = process.cpuUsage();
    await loop.sleep(100, new AbortController().signal);
    const { user, system } = process.cpuUsage(cpu);
    expect(user + system).toBeLessThan(60_000);
    await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), { fds: [commands.kick.fd] });
    commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    expect((await commands.used(1)).length).toBe(1);
  }));

test("kicks of an eventfd are not read, and each of them is followed", () =>
  withScene({}, async ({ commands, hypervisor, ram }) => {
    await hypervisor.realize();
    await hypervisor.activate();
    const kicks = 20;
    for (let i = 0; i < kicks; i++) {
      commands.add(requestParts(ram, echo(), 24));
      commands.notify();
      expect((await commands.used(1)).length).toBe(1);
    }
    expect(commands.kick.clear()).toBe(kicks);
  }));

test("kicks through a pipe are read, so that it never fills", () =>
  withScene({}, async ({ commands, frontEnd, hypervisor, loop, ram }) => {
    await hypervisor.realize();
    await hypervisor.activate();
    const [ours, theirs] = socketPair();
    using _ours = ours;
    using kicked = theirs;
    await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), { fds: [kicked.number] });
    commands.add(requestParts(ram, echo(), 24));
    expect(libcWrite(ours, new Uint8Array(new ArrayBuffer(8)).fill(1))).toBe(8);
    expect((await commands.used(1)).length).toBe(1);
    await turns(loop);
    kicked.setNonBlocking(true);
    const got = new Uint8Array(new ArrayBuffer(8));
    expect(readAt(kicked.number, addressOf(got), 8)).toBe(-errno.EAGAIN);
  }));

test("a full pipe as call descriptor blocks nothing, whether it is non-blocking or not", () =>
  withScene({}, async (scene) => {
    const [pipe, other] = socketPair();
    using _other = other;
    using _pipe = pipe;
    pipe.setNonBlocking(true);
    const filler = new Uint8Array(new ArrayBuffer(4096));
    while (libcWrite(pipe, filler) > 0) {}
    await scene.hypervisor.realize();
    scene.hypervisor.callDescriptors = [pipe.number, pipe.number];
    await scene.hypervisor.activate();
    pipe.setNonBlocking(false); // its sender may do that at any time
    scene.commands.add(requestParts(scene.ram, echo(), 24));
    scene.commands.notify();
    await turns(scene.loop);
    expect(scene.commands.takeUsed().length).toBe(1);
    const got = new Uint8Array(new ArrayBuffer(8));
    expect(readAt(other.number, addressOf(got), 8)).toBe(8);
  }));

const libcWrite = (fd: Fd, from: Uint8Array<ArrayBuffer>) =>
  writeAt(fd.number, addressOf(from), from.length);

/** Contents of a ring that break it. */
const corrupt: readonly { what: string; act: (queue: DriverQueue, scene: Scene) => void }[] = [
  {
    what: "an available index that jumps",
    act: (queue) => queue.publish(queue.availableIndex + queue.size + 1),
  },
  {
    what: "an available index that goes back",
    act: (queue) => queue.publish(queue.availableIndex - 1),
  },
  { what: "a head beyond the ring", act: (queue) => queue.offer(queue.size) },
  { what: "head 65535", act: (queue) => queue.offer(0xffff) },
  {
    what: "the same head twice in flight",
    act: (queue, { ram }) => {
      const head = queue.add(requestParts(ram, Uint8Array.of(HOLD), 8));
      queue.offer(head);
    },
  },
];
test.each(corrupt)(
  "$what: the ring is broken, the err descriptor is signalled, and it works again after a restart",
  ({ act }) =>
    running({}, async (scene) => {
      const { commands, hypervisor, frontEnd, loop } = scene;
      await roundTrip(scene, echo(), 24);
      act(commands, scene);
      commands.notify();
      await turns(loop);
      expect(commands.error.clear()).toBe(1);
      const used = commands.usedIndex;
      commands.publish(used + 1);
      commands.notify();
      await turns(loop);
      expect(commands.usedIndex).toBe(used); // not processed any more
      await frontEnd.settled();
      await hypervisor.stop();
      for (const queue of scene.queues) queue.reset();
      await hypervisor.activate({ memory: false });
      const { answer } = await roundTrip(scene, echo(), 24);
      expect(answer).toEqual(echo());
    }),
);

/** Malformed chains. Each is returned with length 0, and the ring goes on. */
const malformed: readonly {
  what: string;
  without?: bigint;
  make: (queue: DriverQueue, scene: Scene) => void;
}[] = [
  {
    what: "a chain that loops",
    make: (q) => {
      q.describe(0, 64, 8, 1, 1);
      q.describe(1, 64, 8, 1, 0);
    },
  },
  { what: "a descriptor that follows itself", make: (q) => q.describe(0, 64, 8, 1, 0) },
  { what: "a next beyond the ring", make: (q) => q.describe(0, 64, 8, 1, 64) },
  { what: "an address outside", make: (q) => q.describe(0, 1 << 30, 8, 0, 0) },
  {
    what: "an address and length that wrap",
    make: (q) => q.describe(0, 0xffff_ffff_ffff_fff8n, 16, 0, 0),
  },
  { what: "a length that leaves memory", make: (q) => q.describe(0, 4 * MIB - 8, 9, 2, 0) },
  { what: "a length of 4 GiB", make: (q) => q.describe(0, 64, 0xffff_ffff, 2, 0) },
  { what: "more than 1 MiB to read", make: (q) => q.describe(0, 64, MIB + 1, 0, 0) },
  {
    what: "a readable part behind a writable one",
    make: (q) => {
      q.describe(0, 64, 8, 3, 1);
      q.describe(1, 64, 8, 0, 0);
    },
  },
  {
    what: "an indirect table that was not negotiated",
    without: INDIRECT,
    make: (q) => q.describe(0, 4096, 16, 4, 0),
  },
  { what: "an indirect table of no entries", make: (q) => q.describe(0, 4096, 0, 4, 0) },
  { what: "an indirect table of 15 bytes", make: (q) => q.describe(0, 4096, 15, 4, 0) },
  { what: "an indirect table of 17 bytes", make: (q) => q.describe(0, 4096, 17, 4, 0) },
  { what: "an indirect table of 16 MiB", make: (q) => q.describe(0, 0, 16 * MIB, 4, 0) },
  { what: "an indirect table outside", make: (q) => q.describe(0, 1 << 30, 32, 4, 0) },
  { what: "an indirect table and a next", make: (q) => q.describe(0, 4096, 16, 5, 1) },
  {
    what: "an indirect table in an indirect table",
    make: (q, { ram }) => {
      const table = ram.allocate(32);
      ram.view(table, 16).setBigUint64(0, BigInt(table), true);
      ram.view(table, 16).setUint32(8, 16, true);
      ram.view(table, 16).setUint16(12, 4, true);
      q.describe(0, table, 16, 4, 0);
    },
  },
  {
    what: "an indirect table that loops",
    make: (q, { ram }) => {
      const table = ram.allocate(32);
      ram.view(table, 16).setUint32(8, 1, true);
      ram.view(table, 16).setUint16(12, 1, true);
      q.describe(0, table, 32, 4, 0);
    },
  },
];
test.each(malformed)(
  "$what: the chain is returned with length 0, the ring goes on",
  ({ make, without = 0n }) =>
    running({ without }, async (scene) => {
      const { commands, device, loop } = scene;
      await roundTrip(scene, echo(), 24, without === 0n);
      make(commands, scene);
      commands.offer(0);
      commands.notify();
      await turns(loop);
      expect(commands.takeUsed()).toEqual([{ head: 0, length: 0 }]);
      expect(device.requests).toBe(1);
      await roundTrip(scene, echo(), 24, without === 0n);
    }),
);

test("a request is copied once: what the guest writes afterwards changes nothing", () =>
  running({}, async ({ ram, commands, device, loop }) => {
    const parts = requestParts(ram, Uint8Array.of(HOLD, 7, 7), 3);
    commands.add(parts);
    commands.notify();
    await turns(loop);
    ram.bytes(parts[0]?.at ?? 0, 3).fill(9);
    device.release();
    await commands.used(1);
    expect([...ram.bytes(parts[1]?.at ?? 0, 3)]).toEqual([HOLD, 7, 7]);
  }));

test("each request is answered once, whatever the device does", () =>
  running({}, async ({ ram, commands, device, loop }) => {
    commands.add(requestParts(ram, Uint8Array.of(HOLD, 7, 7), 3));
    commands.notify();
    await turns(loop);
    const [held] = device.held;
    held?.request.answer(Uint8Array.of(1));
    held?.request.answer(Uint8Array.of(2));
    expect((await commands.used(1))[0]?.length).toBe(1);
    expect(commands.usedIndex).toBe(1);
  }));

test("answers come in any order, and their heads can be used again at once", () =>
  running({}, async ({ ram, commands, device, loop }) => {
    const heads = [1, 2, 3, 4].map((i) =>
      commands.add(requestParts(ram, Uint8Array.of(HOLD, i), 2)),
    );
    commands.notify();
    await turns(loop);
    device.release();
    expect((await commands.used(4)).map(({ head }) => head)).toEqual(heads.reverse());
    for (let i = 0; i < 30; i++) commands.add(requestParts(ram, echo(), 24));
    commands.notify();
    expect((await commands.used(30)).length).toBe(30);
  }));

test("chains of very many writable parts: what is kept for chains in flight is limited", () =>
  running({ sizes: [1024, 64] }, async ({ ram, commands, loop, device }) => {
    // 1024 heads that share one tail of a thousand writable parts.
    const at = ram.allocate(64);
    for (let i = 0; i < 1024; i++) commands.describe(i, at, 1, i < 1023 ? 3 : 2, i + 1);
    for (let head = 0; head < 1024; head++) commands.offer(head, false);
    device.request = (queue, request) => {
      if (queue === 0) device.held.push({ request, bytes: request.bytes });
    };
    commands.publish();
    commands.notify();
    await turns(loop, 40);
    const refused = commands.takeUsed();
    expect(refused.length).toBeGreaterThan(800);
    expect(refused.every(({ length }) => length === 0)).toBe(true);
    expect(device.held.length).toBeGreaterThan(60);
  }));

test("a defect in the device ends the connection, not the process", () =>
  running({}, async ({ ram, commands, connection, device }) => {
    commands.add(requestParts(ram, Uint8Array.of(THROW), 8));
    commands.notify();
    expect(await connection.over).toBeInstanceOf(Error);
    expect(device.disposed).toBe(true);
  }));

test("a front-end that crashes leaves nothing open: descriptors, mappings, device", async () => {
  const before = openDescriptors();
  for (let i = 0; i < 20; i++) {
    await withScene({}, async (scene) => {
      await scene.hypervisor.realize();
      await scene.hypervisor.activate();
      scene.commands.add(requestParts(scene.ram, Uint8Array.of(HOLD), 8));
      scene.commands.notify();
      await turns(scene.loop);
      expect(scene.device.held.length).toBe(1);
      scene.frontEnd[Symbol.dispose]();
      expect(await scene.connection.over).toBe("left");
      await turns(scene.loop);
      expect(scene.device.disposed).toBe(true);
      const used = scene.commands.usedIndex;
      scene.device.release(); // too late: nothing is written any more
      expect(scene.commands.usedIndex).toBe(used);
    });
  }
  expect(openDescriptors()).toBe(before);
});

test("size and base of a running ring cannot be changed, the same addresses may be sent again", () =>
  running({}, async (scene) => {
    const { frontEnd, commands, events } = scene;
    const ack = (name: string, of: Uint8Array<ArrayBuffer>) => frontEnd.acknowledged(name, of);
    expect(await ack("SET_VRING_NUM", payload.state(0, 32))).toBe(1n);
    expect(await ack("SET_VRING_BASE", payload.state(0, 3))).toBe(1n);
    expect(await ack("SET_VRING_ADDR", payload.addresses(0, events.user))).toBe(1n);
    expect(await ack("SET_VRING_ADDR", payload.addresses(0, commands.user))).toBe(0n);
    await roundTrip(scene, echo(), 24);
  }));

test("GET_VRING_BASE works on rings that never ran, ran, broke and stopped", () =>
  withScene({}, async (scene) => {
    const { frontEnd, hypervisor, commands } = scene;
    const base = async () => {
      const { bytes } = await frontEnd.ask("GET_VRING_BASE", payload.state(0, 0));
      return new DataView(bytes.buffer).getUint32(4, true);
    };
    expect(await base()).toBe(0);
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, echo(), 24);
    commands.publish(40_000);
    commands.notify();
    await turns(scene.loop);
    expect(await base()).toBe(1);
    expect(await base()).toBe(1);
  }));

test("RESET_DEVICE and RESET_OWNER drop what is held and stop the rings; the connection goes on", async () => {
  for (const name of ["RESET_DEVICE", "RESET_OWNER"]) {
    await running({}, async (scene) => {
      const { ram, commands, frontEnd, device, hypervisor, loop } = scene;
      commands.add(requestParts(ram, Uint8Array.of(HOLD), 8));
      commands.notify();
      await turns(loop);
      frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(0x1b209n));
      expect(await frontEnd.acknowledged(name)).toBe(0n);
      device.release();
      commands.add(requestParts(ram, echo(), 24));
      commands.notify();
      await turns(loop);
      expect(commands.usedIndex).toBe(0);
      expect(device.calls).toEqual(["start", "pause", "reset"].filter((call) => call !== "pause"));
      for (const queue of scene.queues) queue.reset();
      await hypervisor.activate({ memory: false });
      await roundTrip(scene, echo(), 24);
    });
  }
});

test("chains in flight are recorded, and the next back-end takes them in their order", async () => {
  const before = openDescriptors();
  await withScene({ monitor: monitor("cloud-hypervisor") }, async (scene) => {
    const { hypervisor, frontEnd, ram, commands, device, loop } = scene;
    await hypervisor.realize();
    const about = payload.inflight(0, 0, 2, 64);
    const { bytes, fds } = await frontEnd.ask("GET_INFLIGHT_FD", about);
    const [fd] = fds;
    if (fd === undefined) throw new Error("no descriptor");
    using _fd = fd;
    expect(await frontEnd.acknowledged("SET_INFLIGHT_FD", bytes, { fds: [fd.number] })).toBe(0n);
    await hypervisor.activate();
    await roundTrip(scene, echo(), 24);
    const heads = [5, 6, 7].map((n) => commands.add(requestParts(ram, Uint8Array.of(HOLD, n), 8)));
    commands.notify();
    await turns(loop);
    device.held.splice(1, 1)[0]?.request.answer(Uint8Array.of(6)); // the middle one is done
    await commands.used(1);
    const region = new Uint8Array(new ArrayBuffer(queueRegionSplit.size));
    preadAt(fd.number, addressOf(region), region.length, 0);
    expect(queueRegionSplit.over(region)).toMatchObject({ version: 1, desc_num: 64, used_idx: 2 });
    frontEnd.send("GET_STATUS"); // not negotiated: it ends the connection, as a crash would
    await scene.connection.over;
    // The next back-end, over the same memory.
    await withScene({ monitor: monitor("cloud-hypervisor") }, async (next) => {
      await next.hypervisor.realize();
      const second = next.frontEnd;
      expect(await second.acknowledged("SET_INFLIGHT_FD", bytes, { fds: [fd.number] })).toBe(0n);
      const same = new Hypervisor(monitor("cloud-hypervisor"), second, scene);
      await same.realize();
      await same.activate({ bases: [commands.usedIndex, 0] });
      await second.settled();
      expect(next.device.held.map(({ bytes: [, n] }) => n)).toEqual([5, 7]);
      next.device.release();
      expect(commands.takeUsed().map(({ head }) => head)).toEqual([heads[2], heads[0]] as number[]);
      const parts = requestParts(ram, echo(), 24);
      commands.add(parts);
      commands.notify();
      await turns(next.loop);
      expect(commands.takeUsed().length).toBe(1);
    });
  });
  expect(openDescriptors()).toBe(before);
});

test("an inflight region that is too small, or full of random bytes, breaks nothing", () =>
  withScene({ monitor: monitor("cloud-hypervisor") }, async (scene) => {
    const { frontEnd, hypervisor } = scene;
    await hypervisor.realize();
    using small = Fd.memory("inflight", 512);
    using nonsense = Fd.memory("inflight", 4096);
    const set = (fd: Fd, ...of: Parameters<typeof payload.inflight>) =>
      frontEnd.acknowledged("SET_INFLIGHT_FD", payload.inflight(...of), { fds: [fd.number] });
    expect(await set(small, 512, 0, 2, 64)).toBe(1n);
    expect(await set(small, 1 << 40, 0, 2, 64)).toBe(1n);
    expect(await set(small, 512, 2 ** 60, 1, 8)).toBe(1n);
    expect(await set(nonsense, 4096, 0, 0, 64)).toBe(1n);
    expect(await set(nonsense, 4096, 0, 3, 8)).toBe(1n);
    const fill = new Uint8Array(new ArrayBuffer(4096)).fill(1);
    pwriteAt(nonsense.number, addressOf(fill), 4096, 0);
    expect(await set(nonsense, 4096, 0, 2, 64)).toBe(0n);
    await hypervisor.activate();
    await frontEnd.settled();
    await turns(scene.loop, 4);
    expect(scene.ram.marginsIntact).toBe(true);
  }));

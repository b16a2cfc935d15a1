// The four monitors against the back-end, each by a script of its messages. Tests order and content of messages, not timing.
import { expect, test } from "bun:test";
import { ECHO, HOLD } from "../support/vhost/echo-device.ts";
import { MIB } from "../support/vhost/guest-ram.ts";
import { monitors } from "../support/vhost/monitors.ts";
import { requestParts, roundTrip, turns, withScene } from "../support/vhost/scene.ts";

const request = (what: number, length = 24) =>
  Uint8Array.from({ length }, (_, i) => (i === 0 ? what : i));

test.each(monitors)("$name: features, config, a request and its answer", (monitor) =>
  withScene({ monitor }, async (scene) => {
    const { hypervisor, device } = scene;
    await hypervisor.realize();
    expect([...(await hypervisor.config(4, 8))]).toEqual([5, 6, 7, 8, 9, 10, 11, 12]);
    expect((await hypervisor.config(40, 20)).slice(4)).toEqual(new Uint8Array(16));
    await hypervisor.activate();
    const { used, answer } = await roundTrip(scene, request(ECHO), 24);
    expect(used.length).toBe(24);
    expect(answer).toEqual(request(ECHO));
    expect(device.host?.ackedFeatures).toBe(0x1_7000_0003n);
    expect(device.calls.slice(-1)).toEqual(["start"]);
  }),
);

test.each(monitors)("$name: memory in two regions, each with its own descriptor", (monitor) =>
  withScene(
    {
      monitor,
      places: [
        { guest: 0, size: MIB },
        { guest: 64 * MIB, size: MIB },
      ],
    },
    async (scene) => {
      const { hypervisor, ram, commands } = scene;
      await hypervisor.realize();
      await hypervisor.activate();
      ram.bytes(64 * MIB, 24).set(request(ECHO));
      commands.add([
        { at: 64 * MIB, length: 24, writable: false },
        { at: 65 * MIB - 24, length: 24, writable: true },
      ]);
      commands.notify();
      expect((await commands.used(1))[0]?.length).toBe(24);
      expect(ram.bytes(65 * MIB - 24, 24)).toEqual(request(ECHO));
    },
  ),
);

test.each(monitors)("$name: event buffers posted before the start are all there", (monitor) =>
  withScene({ monitor }, async (scene) => {
    const { hypervisor, device, events, ram } = scene;
    await hypervisor.realize();
    for (let i = 0; i < events.size; i++) {
      events.add([{ at: ram.allocate(8), length: 8, writable: true }]);
    }
    events.notify();
    await hypervisor.activate();
    await scene.frontEnd.settled();
    await turns(scene.loop);
    expect(device.buffers.length).toBe(events.size);
    device.buffers[0]?.answer(request(7, 8));
    expect((await events.used(1))[0]?.length).toBe(8);
  }),
);

test.each(monitors)("$name: a driver that restarts finds a reset device", (monitor) =>
  withScene({ monitor }, async (scene) => {
    const { hypervisor, device, commands, events, ram } = scene;
    await hypervisor.realize();
    events.add([{ at: ram.allocate(8), length: 8, writable: true }]);
    events.notify();
    await hypervisor.activate();
    await roundTrip(scene, request(ECHO), 24);
    commands.add(requestParts(ram, request(HOLD), 24));
    commands.notify();
    await turns(scene.loop);
    expect(device.held.length).toBe(1);
    await hypervisor.stop();
    await scene.frontEnd.settled();
    expect(device.calls).toContain("pause");
    // The machine was rebooted: the rings are zeroed, and the base is 0.
    for (const queue of scene.queues) queue.reset();
    events.add([{ at: ram.allocate(8), length: 8, writable: true }]);
    await hypervisor.activate({ memory: monitor.memory !== "slots" });
    await scene.frontEnd.settled();
    expect(device.calls).toContain("reset");
    device.release(); // an answer to an earlier request
    device.buffers[0]?.answer(request(9, 8));
    await turns(scene.loop);
    expect(commands.usedIndex).toBe(0);
    expect(events.usedIndex).toBe(0);
    const { answer } = await roundTrip(scene, request(ECHO, 30), 30);
    expect(answer).toEqual(request(ECHO, 30));
    expect(device.buffers.length).toBe(2);
  }),
);

test.each(monitors.filter(({ stop }) => stop === "both"))(
  "$name: a pause with held requests, answered while paused, and the machine goes on",
  (monitor) =>
    withScene({ monitor }, async (scene) => {
      const { hypervisor, device, commands, ram } = scene;
      await hypervisor.realize();
      await hypervisor.activate();
      await roundTrip(scene, request(ECHO), 24);
      for (let i = 0; i < 4; i++) commands.add(requestParts(ram, request(HOLD, 20 + i), 24));
      commands.notify();
      await turns(scene.loop);
      const bases = await hypervisor.stop();
      expect(bases).toEqual([5, 0]);
      const before = commands.usedIndex;
      device.release();
      commands.notify();
      await turns(scene.loop);
      expect(commands.usedIndex).toBe(before); // nothing is written while the machine is paused
      expect(device.calls).toEqual(["start", "pause"].concat());
      await hypervisor.activate({ memory: false, bases });
      const back = await commands.used(4);
      expect(back.map(({ length }) => length)).toEqual([23, 22, 21, 20]); // in the order of the answers
      expect(device.calls.filter((call) => call === "reset")).toEqual([]);
      expect(device.calls).toContain("resume");
      await roundTrip(scene, request(ECHO), 24);
    }),
);

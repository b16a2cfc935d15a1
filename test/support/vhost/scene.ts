// A back-end and a front-end in one process, joined by a socket pair, on one loop.
import { socketPair } from "../../../ffi/socket.ts";
import { log } from "../../../src/cli/log.ts";
import { Loop } from "../../../src/loop.ts";
import { Connection } from "../../../src/vhost/connection.ts";
import type { MakeDevice } from "../../../src/vhost/queues.ts";
import type { VirtioDevice } from "../../../src/virtio/virtio-device.ts";
import { BufferMonitor } from "./buffer-monitor.ts";
import { DriverQueue, type Part, type Used } from "./driver.ts";
import { EchoDevice } from "./echo-device.ts";
import { FrontEnd } from "./front-end.ts";
import { GuestRam, type Place } from "./guest-ram.ts";
import { Hypervisor, type Machine, type Monitor, monitors } from "./monitors.ts";

export interface SceneOptions {
  readonly monitor?: Monitor;
  readonly places?: readonly Place[];
  readonly sizes?: readonly number[];
  /** Feature bits the monitor does not pass on. */
  readonly without?: bigint;
}

/** A connection with a running driver; `D` is the class of the device. */
export interface Scene<D extends VirtioDevice = EchoDevice> extends Machine {
  readonly loop: Loop;
  readonly connection: Connection;
  readonly frontEnd: FrontEnd;
  readonly hypervisor: Hypervisor;
  readonly device: D;
  readonly commands: DriverQueue;
  readonly events: DriverQueue;
}

/** Runs `act` on a loop of its own. */
export async function onLoop(act: (loop: Loop) => Promise<void>): Promise<void> {
  using loop = new Loop();
  await loop.run(act(loop));
}

/** A scene with the echo device. Nothing is logged during it. */
export function withScene(
  options: SceneOptions,
  act: (scene: Scene) => Promise<void>,
): Promise<void> {
  return withDevice(options, () => new EchoDevice(), act);
}

/** A scene with another device. */
export async function withDevice<D extends VirtioDevice>(
  options: SceneOptions,
  makeDevice: (...of: Parameters<MakeDevice>) => D,
  act: (scene: Scene<D>) => Promise<void>,
): Promise<void> {
  const { level } = log;
  log.level = -1;
  try {
    await onLoop(async (loop) => {
      using owned = new DisposableStack();
      const [ours, theirs] = socketPair();
      const frontEnd = owned.use(new FrontEnd(loop, theirs));
      let device: D | undefined;
      const connection = owned.use(
        new Connection(loop, ours, (of) => {
          device = makeDevice(of);
          return device;
        }),
      );
      if (device === undefined) throw new Error("no device was made");
      // As the server does at the end of a connection.
      connection.over.then(() => connection[Symbol.dispose]());
      const ram = owned.use(new GuestRam(options.places));
      const sizes = options.sizes ?? [64, 16];
      const queues = sizes.map((size) => owned.use(new DriverQueue(loop, ram, size)));
      const [commands, events] = queues;
      if (commands === undefined || events === undefined) throw new Error("two queues");
      const [qemu] = monitors;
      const monitor = options.monitor ?? qemu;
      if (monitor === undefined) throw new Error("no monitor");
      const bytes = (device as VirtioDevice).sharedMemoryBytes;
      const buffers = bytes === undefined ? undefined : owned.use(new BufferMonitor(loop, bytes));
      const machine = { ram, queues, buffers };
      const hypervisor = new Hypervisor(monitor, frontEnd, machine);
      await act({ ...machine, loop, connection, frontEnd, hypervisor, device, commands, events });
    });
  } finally {
    log.level = level;
  }
}

/** Waits for two turns of the loop: everything that is ready now is handled then. */
export async function turns(loop: Loop, count = 2): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { promise, resolve } = loop.promise<void>();
    loop.after(0, resolve);
    await promise;
  }
}

/** Writes a request to guest memory, with room for an answer. */
export function requestParts(ram: GuestRam, bytes: Uint8Array, room: number): Part[] {
  return [
    { at: ram.place(bytes), length: bytes.length, writable: false },
    { at: ram.allocate(Math.max(1, room)), length: room, writable: true },
  ];
}

/** Sends a request through the ring and waits for its answer. */
export async function roundTrip(
  scene: Pick<Scene, "ram" | "commands">,
  bytes: Uint8Array,
  room: number,
  indirect = true,
): Promise<{ used: Used; answer: Uint8Array<ArrayBuffer> }> {
  const parts = requestParts(scene.ram, bytes, room);
  const head = scene.commands.add(parts, { indirect });
  scene.commands.notify();
  const [used] = await scene.commands.used(1);
  if (used === undefined || used.head !== head) throw new Error(`head ${used?.head} for ${head}`);
  const answer = scene.ram.bytes(parts[1]?.at ?? 0, used.length).slice();
  return { used, answer };
}

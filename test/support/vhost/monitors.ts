// Four monitors as observed: the vhost-user messages of each, their order, and which of them ask for an acknowledgement.
import type { BufferMonitor } from "./buffer-monitor.ts";
import type { DriverQueue } from "./driver.ts";
import { type FrontEnd, payload } from "./front-end.ts";
import type { GuestRam } from "./guest-ram.ts";

/** Guest memory and the queues in it. */
export interface Machine {
  readonly ram: GuestRam;
  readonly queues: readonly DriverQueue[];
  /** Maps the buffers of a device that has a region. */
  readonly buffers?: BufferMonitor | undefined;
}

type Step = "NUM" | "BASE" | "ADDR" | "KICK" | "CALL" | "ENABLE";

export interface Monitor {
  readonly name: string;
  /** Protocol features that it uses when they are offered. */
  readonly protocol: bigint;
  /** Requests that it sends with need_reply. */
  readonly acknowledged: (name: string) => boolean;
  readonly memory: "slots" | "table" | "table of 72 bytes";
  /** Messages that set up rings, in groups. A group is sent for one ring after the other. */
  readonly groups: readonly (readonly Step[])[];
  readonly configFlags: number;
  /** It always reads the config space from its beginning. */
  readonly configFromStart: boolean;
  /** The index it sets when a ring starts for the first time. */
  readonly firstBase: "zero" | "available";
  /** How it ends a driver. */
  readonly stop: "both" | "disable only";
}

const all = () => true;
const none = () => false;

export const monitors: readonly Monitor[] = [
  {
    name: "QEMU",
    protocol: 0x41a629n,
    acknowledged: (name) =>
      /^(SET_BACKEND_REQ_FD|SET_MEM_TABLE|ADD_MEM_REG|REM_MEM_REG|SET_VRING_(CALL|ERR|KICK|ENABLE))$/.test(
        name,
      ),
    memory: "slots",
    groups: [["NUM", "BASE", "ADDR", "KICK", "CALL"], ["ENABLE"], ["CALL"]],
    configFlags: 0,
    configFromStart: true,
    firstBase: "zero",
    stop: "both",
  },
  {
    name: "crosvm",
    protocol: 0x209n,
    acknowledged: none,
    memory: "table",
    groups: [["NUM", "ADDR", "BASE", "CALL", "KICK", "ENABLE"]],
    configFlags: 1,
    configFromStart: false,
    firstBase: "zero",
    stop: "both",
  },
  {
    name: "cloud-hypervisor",
    protocol: 0x1209n,
    acknowledged: all,
    memory: "table",
    groups: [["NUM"], ["ADDR", "BASE", "CALL", "KICK"], ["ENABLE"]],
    configFlags: 1,
    configFromStart: false,
    firstBase: "available",
    stop: "both",
  },
  {
    name: "UML",
    protocol: 0x208n,
    acknowledged: all,
    memory: "table of 72 bytes",
    groups: [["CALL", "NUM", "BASE", "ADDR"], ["KICK"], ["ENABLE"]],
    configFlags: 0,
    configFromStart: true,
    firstBase: "zero",
    stop: "disable only",
  },
];

/** The monitor of that name. */
export function monitor(name: string): Monitor {
  const found = monitors.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no monitor ${name}`);
  return found;
}

export class Hypervisor {
  readonly #monitor: Monitor;
  readonly #frontEnd: FrontEnd;
  readonly #machine: Machine;
  #features = 0n;
  #replies = false;
  /** Call descriptors, when they are not those of the queues. */
  callDescriptors: readonly number[] | undefined;

  constructor(monitor: Monitor, frontEnd: FrontEnd, machine: Machine) {
    this.#monitor = monitor;
    this.#frontEnd = frontEnd;
    this.#machine = machine;
  }

  /** Sends a message as this monitor does. Throws when it is acknowledged as failed. */
  async send(
    name: string,
    bytes?: Uint8Array<ArrayBuffer>,
    fds: readonly number[] = [],
  ): Promise<void> {
    if (!this.#replies || !this.#monitor.acknowledged(name)) {
      this.#frontEnd.send(name, bytes, { fds });
      return;
    }
    const { flags, bytes: answer } = await this.#frontEnd.ask(name, bytes, {
      fds,
      needReply: true,
    });
    if (flags !== 5) throw new Error(`${name}: answered with flags ${flags}`);
    if (answer.some((byte) => byte !== 0)) throw new Error(`${name} was refused`);
  }

  /** Does the exchange at the creation of a machine. `without` are feature bits that it does not pass on. */
  async realize(without = 0n): Promise<void> {
    const { protocol, name } = this.#monitor;
    if (name !== "QEMU") await this.send("SET_OWNER");
    this.#features = (await this.#frontEnd.word("GET_FEATURES")) & ~without;
    const offered = await this.#frontEnd.word("GET_PROTOCOL_FEATURES");
    const taken = offered & protocol;
    this.#frontEnd.send("SET_PROTOCOL_FEATURES", payload.word(taken));
    this.#replies = (taken & 8n) !== 0n;
    if ((taken & 1n) !== 0n) await this.#frontEnd.word("GET_QUEUE_NUM");
    if ((taken & 0x8000n) !== 0n) await this.#frontEnd.word("GET_MAX_MEM_SLOTS");
    const { buffers } = this.#machine;
    if (buffers !== undefined && (taken & 0x20n) !== 0n) {
      await this.send("SET_BACKEND_REQ_FD", undefined, [buffers.theirs.number]);
    }
    if (name !== "QEMU") return;
    await this.send("SET_OWNER");
    await this.#frontEnd.word("GET_FEATURES");
    for (const [index, queue] of this.#machine.queues.entries()) {
      await this.send("SET_VRING_CALL", payload.word(BigInt(index)), [queue.call.fd]);
      await this.send("SET_VRING_ERR", payload.word(BigInt(index)), [queue.error.fd]);
    }
    if ((taken & 0x40_0000n) !== 0n) await this.#frontEnd.ask("GET_SHMEM_CONFIG");
  }

  /** The config space as the guest reads it. */
  async config(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>> {
    const from = this.#monitor.configFromStart ? 0 : offset;
    const length = size + offset - from;
    const { bytes } = await this.#frontEnd.ask(
      "GET_CONFIG",
      payload.config(from, length, this.#monitor.configFlags),
    );
    if (bytes.length !== 12 + length) throw new Error(`${bytes.length} bytes of config`);
    return bytes.slice(12 + offset - from);
  }

  /** Sends the memory table. */
  async memory(): Promise<void> {
    const { ram } = this.#machine;
    const { memory } = this.#monitor;
    if (memory === "slots") {
      for (const row of ram.rows) {
        await this.send("ADD_MEM_REG", payload.region(row), [ram.fd.number]);
      }
      return;
    }
    const length = memory === "table" ? undefined : 72;
    const fds = ram.rows.map(() => ram.fd.number);
    await this.send("SET_MEM_TABLE", payload.regions(ram.rows, length), fds);
  }

  /** Starts the driver: features, memory unless it was sent, rings. */
  async activate(options: { memory?: boolean; bases?: readonly number[] } = {}): Promise<void> {
    await this.send("SET_FEATURES", payload.word(this.#features));
    if (this.#monitor.name === "QEMU") {
      if ((await this.#frontEnd.word("GET_STATUS")) !== 8n) {
        await this.send("SET_STATUS", payload.word(8n));
      }
    }
    if (options.memory !== false) await this.memory();
    if (this.#machine.buffers !== undefined) this.#machine.buffers.started = true;
    for (const group of this.#monitor.groups) {
      for (const index of this.#machine.queues.keys()) {
        for (const step of group) await this.#step(step, index, options.bases);
      }
    }
  }

  async #step(step: Step, index: number, bases: readonly number[] | undefined): Promise<void> {
    const queue = this.#machine.queues[index];
    if (queue === undefined) return;
    const call = this.callDescriptors?.[index] ?? queue.call.fd;
    const ring = payload.word(BigInt(index));
    const first = this.#monitor.firstBase === "zero" ? 0 : queue.availableIndex;
    if (step === "NUM") await this.send("SET_VRING_NUM", payload.state(index, queue.size));
    if (step === "BASE") {
      await this.send("SET_VRING_BASE", payload.state(index, bases?.[index] ?? first));
    }
    if (step === "ADDR") {
      await this.send("SET_VRING_ADDR", payload.addresses(index, queue.user, 0xffffffffffffffffn));
    }
    if (step === "KICK") await this.send("SET_VRING_KICK", ring, [queue.kick.fd]);
    if (step === "CALL") await this.send("SET_VRING_CALL", ring, [call]);
    if (step === "ENABLE") await this.send("SET_VRING_ENABLE", payload.state(index, 1));
  }

  /** Stops the driver or the machine. The index of each ring, if this monitor asks for it. */
  async stop(): Promise<number[]> {
    const indices = [...this.#machine.queues.keys()];
    const { buffers } = this.#machine;
    const ordered = this.#monitor.stop === "both" ? indices : indices.reverse();
    for (const index of ordered) {
      await this.send("SET_VRING_ENABLE", payload.state(index, 0));
    }
    if (this.#monitor.stop === "disable only") {
      await this.#frontEnd.word("GET_FEATURES");
      if (buffers !== undefined) buffers.started = false;
      return [];
    }
    const bases: number[] = [];
    for (const index of indices) {
      const { bytes } = await this.#frontEnd.ask("GET_VRING_BASE", payload.state(index, 0));
      const view = new DataView(bytes.buffer);
      if (view.getUint32(0, true) !== index) throw new Error("GET_VRING_BASE: another ring");
      bases.push(view.getUint32(4, true));
    }
    if (buffers !== undefined) buffers.started = false;
    return bases;
  }
}

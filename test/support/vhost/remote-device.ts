// A device at the other end of a vhost-user connection, for tests. Requests and answers go through real rings in memory that
// both sides map.
import { EPOLLIN } from "../../../ffi/epoll.ts";
import type { Fd } from "../../../ffi/fd.ts";
import type { Loop, Watch } from "../../../src/loop.ts";
import type { Request } from "../../../src/virtio/virtio-device.ts";
import type { DriverDevice, DriverMemory } from "../video-driver.ts";
import { DriverQueue } from "./driver.ts";
import { FrontEnd, payload } from "./front-end.ts";
import { GuestRam } from "./guest-ram.ts";
import { Hypervisor, monitor } from "./monitors.ts";

/** Chains in flight per queue, each with its own memory for request and answer. */
const QUEUE_SIZE = 128;
const REQUEST_BYTES = 4096;
const ROOM = 4096;
const SLOT = REQUEST_BYTES + ROOM;

interface Slot {
  readonly at: number;
  request: Request | undefined;
}

/** One queue with its slots. */
class Lane implements Disposable {
  readonly queue: DriverQueue;
  readonly #ram: GuestRam;
  readonly #watch: Watch;
  readonly #free: Slot[];
  /** By head. */
  readonly #inFlight = new Map<number, Slot>();
  readonly #answered: () => void;
  /** Requests that are made while answers are handled share one kick. */
  #taking = false;
  #kickLater = false;

  constructor(loop: Loop, ram: GuestRam, answered: () => void) {
    this.#ram = ram;
    this.#answered = answered;
    this.queue = new DriverQueue(loop, ram, 2 * QUEUE_SIZE);
    const slots = ram.allocate(QUEUE_SIZE * SLOT, 4096);
    this.#free = Array.from({ length: QUEUE_SIZE }, (_, i) => ({
      at: slots + i * SLOT,
      request: undefined,
    }));
    this.#watch = loop.watch(this.queue.call.fd, EPOLLIN, () => {
      this.queue.call.clear();
      this.take();
    });
  }

  send(request: Request): void {
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error("too many requests at once");
    const { length } = request.bytes;
    if (length > REQUEST_BYTES) throw new Error("a request that is too long for its slot");
    slot.request = request;
    const parts = [];
    if (length > 0) {
      this.#ram.bytes(slot.at, length).set(request.bytes);
      parts.push({ at: slot.at, length, writable: false });
    }
    const room = Math.min(request.room, ROOM);
    parts.push({ at: slot.at + REQUEST_BYTES, length: room, writable: true });
    this.#inFlight.set(this.queue.add(parts), slot);
    if (this.#taking) this.#kickLater = true;
    else this.queue.notify();
  }

  /** Takes the chains that were returned, and asks for an interrupt at the next one. */
  take(): void {
    let any = false;
    this.#taking = true;
    for (;;) {
      const back = this.queue.takeUsed();
      if (back.length === 0) break;
      any = true;
      for (const { head, length } of back) {
        const slot = this.#inFlight.get(head);
        if (slot === undefined) throw new Error(`head ${head} came back twice`);
        this.#inFlight.delete(head);
        this.#free.push(slot);
        const { request } = slot;
        slot.request = undefined;
        request?.answer(this.#ram.bytes(slot.at + REQUEST_BYTES, length));
      }
      this.queue.setUsedEvent(this.queue.takenIndex);
    }
    if (any) this.#answered();
    this.#taking = false;
    if (this.#kickLater) this.queue.notify();
    this.#kickLater = false;
  }

  /** Empties the rings, as a new driver does. */
  reset(): void {
    this.queue.reset();
    this.#free.push(...this.#inFlight.values());
    this.#inFlight.clear();
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.queue[Symbol.dispose]();
  }
}

export class RemoteDevice implements DriverDevice {
  readonly memory: DriverMemory;
  readonly frontEnd: FrontEnd;
  /** Called once per batch of answers. */
  onAnswers: () => void = () => undefined;
  readonly #owned: DisposableStack;
  readonly #lanes: readonly Lane[];
  readonly #ram: GuestRam;
  readonly #loop: Loop;
  readonly #hypervisor: Hypervisor;

  private constructor(owned: DisposableStack, ram: GuestRam, frontEnd: FrontEnd, loop: Loop) {
    this.#owned = owned;
    this.#ram = ram;
    this.frontEnd = frontEnd;
    const answered = () => this.onAnswers();
    this.#loop = loop;
    this.#lanes = [0, 1].map(() => owned.use(new Lane(loop, ram, answered)));
    const queues = this.#lanes.map(({ queue }) => queue);
    this.#hypervisor = new Hypervisor(monitor("QEMU"), frontEnd, { ram, queues });
    this.memory = {
      allocate: (bytes) => BigInt(ram.allocate(bytes, 4096)),
      bytes: (address, length) => ram.bytes(Number(address), length),
      [Symbol.dispose]: () => undefined,
    };
  }

  /** Sets up both rings with the back-end at `socket`, as QEMU does. Owns the socket. */
  static async connect(loop: Loop, socket: Fd, memoryBytes: number): Promise<RemoteDevice> {
    using owned = new DisposableStack();
    const frontEnd = owned.use(new FrontEnd(loop, socket));
    const ram = owned.use(new GuestRam([{ guest: 0, size: memoryBytes }]));
    const device = new RemoteDevice(owned.move(), ram, frontEnd, loop);
    await device.#hypervisor.realize();
    await device.#hypervisor.activate();
    return device;
  }

  /** Stops the machine for `ms` and lets it go on, as QEMU does. No request may be made meanwhile. */
  async pause(ms: number): Promise<void> {
    const bases = await this.#hypervisor.stop();
    const { promise, resolve } = this.#loop.promise<void>();
    using _timer = this.#loop.after(ms, resolve);
    await promise;
    await this.#hypervisor.activate({ memory: false, bases });
  }

  /** The driver is unloaded and loaded again: new rings, nothing is answered any more. */
  async reset(): Promise<void> {
    await this.#hypervisor.stop();
    for (const lane of this.#lanes) lane.reset();
    await this.#hypervisor.activate({ memory: false });
  }

  /** Sends the memory table again: the back-end maps all of it again. */
  async replaceMemory(): Promise<void> {
    const { rows, fd } = this.#ram;
    const fds = rows.map(() => fd.number);
    await this.#hypervisor.send("SET_MEM_TABLE", payload.regions(rows), fds);
  }

  /** Plugs memory in and takes it out again, while the machine runs. */
  async plugMemory(): Promise<void> {
    const [{ guest, size, user } = { guest: 0n, size: 0n, user: 0n }] = this.#ram.rows;
    const behind = { guest: guest + size, user: user + size, size: 4096n, offset: 0n };
    await this.#hypervisor.send("ADD_MEM_REG", payload.region(behind), [this.#ram.fd.number]);
    await this.#hypervisor.send("REM_MEM_REG", payload.region(behind));
  }

  /** Whether the bytes around guest memory are unchanged. */
  get marginsIntact(): boolean {
    return this.#ram.marginsIntact;
  }

  /** The position of allocation. Setting it back frees what was allocated after it. */
  get mark(): number {
    return this.#ram.mark;
  }
  set mark(value: number) {
    this.#ram.mark = value;
  }

  request(queue: number, request: Request): void {
    this.#lanes[queue]?.send(request);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

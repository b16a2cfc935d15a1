// One ring of a connection: what the front-end said about it, its descriptors, and the state machine of vhost-user, "Ring
// states": started or stopped, enabled or disabled. It is served while it is started and enabled.
import { EPOLLIN } from "../../ffi/epoll.ts";
import { SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { Notifier, takeNotice } from "../../ffi/notifier.ts";
import type { Loop, Watch } from "../loop.ts";
import { type Area, areas, MAX_QUEUE_SIZE } from "../virtio/ring-layout.ts";
import type { Rings, SplitQueue } from "../virtio/split-queue.ts";
import type { MemoryTable } from "./memory.ts";
import { Refused } from "./refused.ts";

/** A front-end that gives no kick descriptor is asked this often. */
const POLL_MS = 5;

/** Where the three areas are, as addresses of the front-end's. */
export type Addresses = Readonly<Record<Area, bigint>>;

/** What tells a ring that goes on from one that begins anew. */
interface Identity extends Addresses {
  readonly size: number;
}

export class Ring implements Disposable {
  readonly index: number;
  readonly #loop: Loop;
  readonly #memory: MemoryTable;
  readonly #onKick: () => void;
  size = 0;
  addresses: Addresses | undefined;
  base = 0;
  enabled = false;
  started = false;
  /** The driver broke it: not served until it starts anew. */
  broken = false;
  queue: SplitQueue | undefined;
  /** What the queue was made from. */
  identity: Identity | undefined;
  #kick: Fd | undefined;
  #watch: Watch | undefined;
  #poll: Disposable | undefined;
  #call: Notifier | undefined;
  #error: Notifier | undefined;

  constructor(index: number, loop: Loop, memory: MemoryTable, onKick: () => void) {
    this.index = index;
    this.#loop = loop;
    this.#memory = memory;
    this.#onKick = onKick;
  }

  /** Whether it is looked at at all. */
  get serving(): boolean {
    return this.started && this.enabled && !this.broken;
  }

  /** Host memory of the three areas. Throws Refused when one is unknown, unaligned or not whole in one region. */
  areas(): Rings {
    const { size } = this;
    if (size === 0) throw new Refused(`vring ${this.index} has no size`);
    const area = (name: Area) => this.#area(name, size);
    return {
      descriptors: area("descriptors"),
      available: area("available"),
      used: area("used"),
    };
  }

  #area(name: Area, size: number): Uint8Array<ArrayBuffer> {
    const at = this.addresses?.[name];
    if (at === undefined) throw new Refused(`vring ${this.index} has no address`);
    const { align, bytes } = areas[name];
    const where = `vring ${this.index}: ${name} at 0x${at.toString(16)}`;
    const found = this.#memory.user(at, bytes(size));
    if (found === undefined) throw new Refused(`${where} + ${bytes(size)}, outside guest memory`);
    if ((found.region.address + found.offset) % align !== 0 || at % BigInt(align) !== 0n) {
      throw new Refused(`${where} is not aligned to ${align}`);
    }
    return found.region.view(found.offset, bytes(size));
  }

  /** Whether any area overlaps a range of the front-end's addresses. */
  touches(overlaps: (at: bigint, length: number) => boolean): boolean {
    const at = this.addresses;
    if (at === undefined || this.size === 0) return false;
    const names = Object.keys(areas) as Area[];
    return names.some((name) => overlaps(at[name], areas[name].bytes(this.size)));
  }

  /** Sets the size. Throws Refused for one no split ring has. */
  setSize(size: number): void {
    const power = size > 0 && (size & (size - 1)) === 0;
    if (!power || size > MAX_QUEUE_SIZE) {
      throw new Refused(`vring ${this.index}: a size of ${size} is no power of two up to 32768`);
    }
    this.size = size;
  }

  /** Whether it is about to start as the ring that stopped: same place, same size, and where it was. */
  goesOn(comparesBase: boolean): boolean {
    const { queue, identity, addresses } = this;
    if (queue === undefined || identity === undefined || addresses === undefined) return false;
    const same = (Object.keys(areas) as Area[]).every((name) => identity[name] === addresses[name]);
    if (!same || identity.size !== this.size || this.broken) return false;
    // A base of 0 is what a driver that starts anew begins with.
    return !comparesBase || (this.base === queue.next && this.base !== 0);
  }

  /** Takes the kick descriptor, or none: then the ring is polled. Throws Refused, and then the old one stays. */
  setKick(fd: Fd | undefined): void {
    using owned = new DisposableStack();
    if (fd !== undefined) owned.use(fd);
    const watch = fd === undefined ? undefined : owned.use(this.#watchKick(fd));
    this.#dropKick();
    owned.move();
    this.#kick = fd;
    this.#watch = watch;
    if (fd === undefined) this.#poll = this.#loop.every(POLL_MS, this.#onKick);
  }

  #watchKick(fd: Fd): Watch {
    const where = `vring ${this.index}: the kick descriptor`;
    try {
      fd.setNonBlocking(true);
      const watch = this.#loop.watch(fd.number, EPOLLIN, (events) => {
        // Drained before the ring is looked at, never after: a kick in between would be lost.
        const more = (events & EPOLLIN) !== 0 && takeNotice(fd.number);
        if (!more) watch.setEvents(0); // hung up: it would be reported for ever
        this.#onKick();
      });
      return watch;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
      throw new Refused(`${where} cannot be waited for: ${error.message}`, { cause: error });
    }
  }

  #dropKick(): void {
    this.#watch?.[Symbol.dispose]();
    this.#kick?.[Symbol.dispose]();
    this.#poll?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#kick = undefined;
    this.#poll = undefined;
  }

  /** Takes the descriptor that interrupts the driver; what was said on the one before may be lost, so it is said again. */
  setCall(fd: Fd | undefined): void {
    const call = fd === undefined ? undefined : notifier(fd, `vring ${this.index}: call`);
    this.#call?.[Symbol.dispose]();
    this.#call = call;
    if (this.serving) this.interrupt();
  }

  /** Takes the descriptor that is written when the ring is found broken. */
  setError(fd: Fd | undefined): void {
    const error = fd === undefined ? undefined : notifier(fd, `vring ${this.index}: err`);
    this.#error?.[Symbol.dispose]();
    this.#error = error;
  }

  /** Interrupts the driver. */
  interrupt(): void {
    this.#call?.notify();
  }

  /** Nothing on it can be believed: it is not looked at any more. */
  break(): void {
    this.broken = true;
    this.#error?.notify();
  }

  /** It stops, keeping what a resume needs; the kick descriptor goes. */
  stop(): void {
    if (this.queue !== undefined) this.base = this.queue.next;
    this.started = false;
    this.#dropKick();
  }

  /** Forgets what it was: the next start begins anew. */
  forget(): void {
    this.queue = undefined;
    this.identity = undefined;
  }

  [Symbol.dispose](): void {
    this.#dropKick();
    this.#call?.[Symbol.dispose]();
    this.#error?.[Symbol.dispose]();
    this.started = false;
    this.forget();
  }
}

function notifier(fd: Fd, what: string): Notifier {
  try {
    return new Notifier(fd);
  } catch (error) {
    fd[Symbol.dispose]();
    if (!(error instanceof SysError)) throw error;
    throw new Refused(`${what}: ${error.message}`, { cause: error });
  }
}

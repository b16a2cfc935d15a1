// One ring of a connection: its states (vhost-user, "Ring states"), its descriptors, and its work: it takes chains on a kick,
// hands them to the device, returns the answers and interrupts the driver. It is served while started and enabled.
import { bootMs } from "../../ffi/clock.ts";
import { EPOLLET, EPOLLIN } from "../../ffi/epoll.ts";
import type { Fd } from "../../ffi/fd.ts";
import { isEventfd, Notifier, takeNotice } from "../../ffi/notifier.ts";
import type { Watch } from "../loop.ts";
import { BadChain, type Chain } from "../virtio/chain.ts";
import { RingError, type SplitQueue } from "../virtio/split-queue.ts";
import type { Request } from "../virtio/virtio-device.ts";
import { asRefused } from "./request-refused.ts";
import type { RingHost } from "./ring-host.ts";
import { type Identity, RingPlace } from "./ring-place.ts";

/** A ring without a kick descriptor is polled this often. */
const POLL_MS = 5;
/** Of an eventfd: each write is reported once. */
const EDGES = (EPOLLIN | EPOLLET) >>> 0;
/** Chains taken before other descriptors of the loop get their turn. */
const TURN = 64;

/** A chain that a device has: its driver's number, and when it was taken where answers may be too late. */
interface Taken {
  readonly chain: Chain;
  readonly driver: number;
  readonly atMs: number;
}

type Answered = (taken: Taken, answer: Uint8Array) => void;

const none: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(0));

/** A request for the device. It is answered once. */
class RingRequest implements Request, Taken {
  bytes: Uint8Array<ArrayBuffer>;
  readonly room: number;
  readonly chain: Chain;
  readonly driver: number;
  readonly atMs: number;
  #answered: Answered | undefined;
  constructor(chain: Chain, driver: number, atMs: number, answered: Answered) {
    this.bytes = chain.bytes;
    this.room = chain.room;
    this.chain = chain;
    this.driver = driver;
    this.atMs = atMs;
    this.#answered = answered;
  }
  answer(bytes: Uint8Array): void {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(this, bytes);
  }
}

export class Ring implements Disposable {
  readonly index: number;
  readonly place: RingPlace;
  readonly #host: RingHost;
  base = 0;
  enabled = false;
  started = false;
  /** The driver corrupted the ring: it is not served until the driver starts it again. */
  broken = false;
  queue: SplitQueue | undefined;
  /** Place and size of `queue`. */
  #identity: Identity | undefined;
  /** Heads that an earlier back-end left in flight; they are taken first. */
  #recovered: number[] = [];
  /** Answers that came while the ring was stopped. */
  #kept: { readonly taken: Taken; readonly answer: Uint8Array<ArrayBuffer> }[] = [];
  #later: Disposable | undefined;
  #kick: Fd | undefined;
  #watch: Watch | undefined;
  #poll: Disposable | undefined;
  #call: Notifier | undefined;
  #error: Notifier | undefined;

  constructor(index: number, host: RingHost) {
    this.index = index;
    this.#host = host;
    this.place = new RingPlace(`vring ${index}`, host.memory);
  }

  get serving(): boolean {
    return this.started && this.enabled && !this.broken;
  }

  // Descriptors.

  /** Takes the kick descriptor; without one the ring is polled. Throws RequestRefused, and the old one stays. */
  setKick(fd: Fd | undefined): void {
    using owned = new DisposableStack();
    if (fd !== undefined) owned.use(fd);
    const watch = fd === undefined ? undefined : owned.use(this.#watchKick(fd));
    this.#dropKick();
    owned.move();
    this.#kick = fd;
    this.#watch = watch;
    if (fd === undefined) this.#poll = this.#host.loop.every(POLL_MS, () => this.process());
  }

  #watchKick(fd: Fd): Watch {
    try {
      fd.setNonBlocking(true);
      const { loop } = this.#host;
      // Each kick is an edge of an eventfd, so that it need not be read: one call less for a command.
      if (isEventfd(fd.number)) return loop.watch(fd.number, EDGES, () => this.process());
      const watch = loop.watch(fd.number, EPOLLIN, (events) => {
        // Clear the kick first, then process: in the other order a kick in between would be lost.
        const more = (events & EPOLLIN) !== 0 && takeNotice(fd.number);
        if (!more) watch.setEvents(0); // epoll would report the hang-up again and again
        this.process();
      });
      return watch;
    } catch (error) {
      throw asRefused(error, `vring ${this.index}: cannot wait for the kick descriptor: `) ?? error;
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

  /** Takes the descriptor that interrupts the driver. An interrupt on the old one may be lost: it is repeated on this one. */
  setCall(fd: Fd | undefined): void {
    const call = fd === undefined ? undefined : notifier(fd, `vring ${this.index}: call: `);
    this.#call?.[Symbol.dispose]();
    this.#call = call;
    if (this.serving) this.#call?.notify();
  }

  /** Takes the descriptor that is written to when the ring is broken. */
  setError(fd: Fd | undefined): void {
    const error = fd === undefined ? undefined : notifier(fd, `vring ${this.index}: err: `);
    this.#error?.[Symbol.dispose]();
    this.#error = error;
  }

  // States.

  /** Serves `queue` from the next start on; `recovered` are heads that an earlier back-end left in flight. */
  use(queue: SplitQueue, recovered: readonly number[]): void {
    this.queue = queue;
    this.#identity = this.place.identity;
    this.#recovered = [...recovered];
  }

  /** Whether a start now resumes the ring that stopped: the same place and size and, if `comparesBase`, the index of its stop. */
  resumes(comparesBase: boolean): boolean {
    const { queue, place } = this;
    if (queue === undefined || this.#identity === undefined || this.broken) return false;
    if (!place.is(this.#identity)) return false;
    // A new driver starts at index 0.
    return !comparesBase || (this.base === queue.next && this.base !== 0);
  }

  /** Breaks the ring: it is not served until the driver starts it again. */
  break(): void {
    this.broken = true;
    this.#error?.notify();
  }

  /** Stops; what a resume needs is kept, the kick descriptor is closed. */
  stop(): void {
    if (this.queue !== undefined) this.base = this.queue.next;
    this.started = false;
    this.#dropKick();
  }

  /** Drops the queue: the next start makes a new one. */
  forget(): void {
    this.queue = undefined;
    this.#identity = undefined;
  }

  /** Drops answers and recovered chains that were not returned yet. */
  dropWork(): void {
    this.#kept = [];
    this.#recovered = [];
  }

  // Work.

  /** Takes the chains that the driver made available, while the ring is served. */
  process(): void {
    const { queue } = this;
    const host = this.#host;
    if (queue === undefined || !this.serving || host.state !== "running" || host.batch) return;
    this.#later?.[Symbol.dispose]();
    this.#later = undefined;
    host.batch = true;
    try {
      this.#takeChains(queue);
    } catch (error) {
      if (error instanceof RingError) {
        host.complain(`vring ${this.index}: ${error.message}: the ring is broken`);
        this.break();
      } else host.failed(error);
    } finally {
      host.endBatch();
    }
  }

  #takeChains(queue: SplitQueue): void {
    for (const head of this.#recovered.splice(0)) this.#request(queue.take(head));
    for (let taken = 0; taken < TURN; ) {
      const chain = queue.pop();
      if (chain === undefined) {
        if (!queue.wantKick()) return;
        continue; // chains came before the kick was requested, so no kick follows
      }
      taken += 1;
      this.#request(chain);
      if (this.queue !== queue || !this.serving) return;
    }
    this.#later = this.#host.loop.after(0, () => this.process());
  }

  #request(chain: Chain | BadChain): void {
    const { counts, driver } = this.#host;
    if (chain instanceof BadChain) {
      counts.malformed += 1;
      this.#host.complain(`vring ${this.index}: malformed chain: ${chain.message}`);
      return;
    }
    counts.requests += 1;
    const atMs = this.#host.device.answerLimitMs === undefined ? 0 : bootMs();
    const request = new RingRequest(chain, driver, atMs, this.#answered);
    this.#host.device.request(this.index, request);
    request.bytes = none; // the next chain reuses this memory
  }

  readonly #answered: Answered = (taken, answer) => {
    const { chain, driver } = taken;
    if (driver !== this.#host.driver) return;
    this.#host.counts.answers += 1;
    if (this.broken || this.#late(taken)) return;
    const fits = answer.length > chain.room ? answer.subarray(0, chain.room) : answer;
    const bytes = fits as Uint8Array<ArrayBuffer>;
    if (!this.serving || this.queue === undefined) {
      this.#kept.push({ taken, answer: bytes.slice() });
      return;
    }
    this.queue.push(chain.head, this.queue.fill(chain, bytes));
    if (!this.#host.batch) this.notify();
  };

  /** Returns the answers that were kept while the ring was stopped. */
  publishKept(): void {
    const { queue } = this;
    const kept = this.#kept.splice(0);
    if (queue === undefined || kept.length === 0) return;
    for (const { taken, answer } of kept) {
      if (!this.#late(taken)) queue.push(taken.chain.head, queue.fill(taken.chain, answer));
    }
    this.notify();
  }

  /** Whether an answer would harm the driver, which has given up. Event buffers may wait for any time. */
  #late({ atMs }: Taken): boolean {
    const { answerLimitMs, eventQueue } = this.#host.device;
    if (answerLimitMs === undefined || this.index === eventQueue) return false;
    const ageMs = bootMs() - atMs;
    if (ageMs <= answerLimitMs) return false;
    this.#host.complain(
      `vring ${this.index}: an answer after ${Math.round(ageMs)} ms is not given`,
    );
    return true;
  }

  /** Interrupts the driver if it asked for that and there are new answers. */
  notify(): void {
    if (!this.serving || this.queue?.wantsNotice() !== true) return;
    this.#host.counts.interrupts += 1;
    this.#call?.notify();
  }

  [Symbol.dispose](): void {
    this.#later?.[Symbol.dispose]();
    this.#dropKick();
    this.#call?.[Symbol.dispose]();
    this.#error?.[Symbol.dispose]();
    this.started = false;
    this.forget();
  }
}

function notifier(fd: Fd, where: string): Notifier {
  try {
    return new Notifier(fd);
  } catch (error) {
    fd[Symbol.dispose]();
    throw asRefused(error, where) ?? error;
  }
}

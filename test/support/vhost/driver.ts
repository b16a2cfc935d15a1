// The driver side of a split virtqueue in guest memory, for tests: VIRTIO 1.2, 2.7. Any field can be given a wrong value.
import { EPOLLIN, Signal } from "../../../ffi/epoll.ts";
import type { Loop } from "../../../src/loop.ts";
import { areas } from "../../../src/virtio/ring-layout.ts";
import type { GuestRam } from "./guest-ram.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

/** A part of a chain: guest memory, and whether the device may write it. */
export interface Part {
  readonly at: number;
  readonly length: number;
  readonly writable: boolean;
}

/** A chain that the device returned. */
export interface Used {
  readonly head: number;
  readonly length: number;
}

export class DriverQueue implements Disposable {
  readonly size: number;
  readonly kick = new Signal();
  readonly call = new Signal();
  readonly error = new Signal();
  /** Guest addresses of the three areas. */
  readonly at: { readonly descriptors: number; readonly available: number; readonly used: number };
  readonly #ram: GuestRam;
  readonly #loop: Loop;
  readonly #descriptors: DataView<ArrayBuffer>;
  readonly #available: DataView<ArrayBuffer>;
  readonly #used: DataView<ArrayBuffer>;
  /**
   * The same rings for Atomics, which are memory barriers: without one between used_event and the used index (VIRTIO 1.2,
   * 2.7.7.2) a processor may load the old index, and the interrupt for the new one is lost: 1 of 40 streams of 2,400 pictures stopped.
   */
  readonly #availableWords: Uint16Array<ArrayBuffer>;
  readonly #usedWords: Uint16Array<ArrayBuffer>;
  #free: number[] = [];
  readonly #chains = new Map<number, readonly number[]>();
  #availableIndex = 0;
  #usedIndex = 0;

  /** A queue somewhere in guest memory, or at `at`. */
  constructor(loop: Loop, ram: GuestRam, size: number, at?: DriverQueue["at"]) {
    this.#loop = loop;
    this.#ram = ram;
    this.size = size;
    this.at = at ?? {
      descriptors: ram.allocate(areas.descriptors.bytes(size), 16),
      available: ram.allocate(areas.available.bytes(size), 2),
      used: ram.allocate(areas.used.bytes(size), 4),
    };
    this.#descriptors = ram.view(this.at.descriptors, areas.descriptors.bytes(size));
    this.#available = ram.view(this.at.available, areas.available.bytes(size));
    this.#used = ram.view(this.at.used, areas.used.bytes(size));
    this.#availableWords = words(this.#available);
    this.#usedWords = words(this.#used);
    this.reset();
  }

  /** Zeroes all of it, as a new driver does. */
  reset(): void {
    for (const [name, { bytes }] of Object.entries(areas)) {
      this.#ram.bytes(this.at[name as keyof typeof areas], bytes(this.size)).fill(0);
    }
    this.#free = Array.from({ length: this.size }, (_, i) => this.size - 1 - i);
    this.#chains.clear();
    this.#availableIndex = 0;
    this.#usedIndex = 0;
  }

  /** Sets the indices as if that many chains had been used. */
  startAt(index: number): void {
    this.#availableIndex = index;
    this.#usedIndex = index;
    this.publish();
    this.#used.setUint16(2, index, true);
  }

  /** Addresses in the front-end. */
  get user(): { descriptors: bigint; available: bigint; used: bigint } {
    return {
      descriptors: this.#ram.user(this.at.descriptors),
      available: this.#ram.user(this.at.available),
      used: this.#ram.user(this.at.used),
    };
  }
  get availableIndex(): number {
    return this.#availableIndex;
  }
  get usedIndex(): number {
    return Atomics.load(this.#usedWords, 1);
  }
  /** The used index up to which chains have been taken back. */
  get takenIndex(): number {
    return this.#usedIndex;
  }
  get usedFlags(): number {
    return this.#used.getUint16(0, true);
  }
  /** With EVENT_IDX: the available index the device wants a kick at. */
  get availableEvent(): number {
    return Atomics.load(this.#usedWords, 2 + 4 * this.size);
  }
  setUsedEvent(index: number): void {
    Atomics.store(this.#availableWords, 2 + this.size, index & 0xffff);
  }
  setAvailableFlags(flags: number): void {
    this.#available.setUint16(0, flags, true);
  }

  /** Writes a descriptor, without any check. */
  describe(index: number, at: number | bigint, length: number, flags: number, next: number): void {
    this.#descriptors.setBigUint64(index * 16, BigInt(at), true);
    this.#descriptors.setUint32(index * 16 + 8, length, true);
    this.#descriptors.setUint16(index * 16 + 12, flags, true);
    this.#descriptors.setUint16(index * 16 + 14, next, true);
  }

  /** Makes a chain of `parts` and puts it into the available ring. Returns its head. */
  add(parts: readonly Part[], options: { indirect?: boolean; publish?: boolean } = {}): number {
    const head = options.indirect === true ? this.#addIndirect(parts) : this.#addDirect(parts);
    this.offer(head, options.publish);
    return head;
  }

  /** Makes an indirect chain whose head is `head`. */
  addAt(head: number, parts: readonly Part[]): void {
    this.#indirectAt(head, parts);
    this.offer(head);
  }

  #take(): number {
    const index = this.#free.pop();
    if (index === undefined) throw new Error("the ring is full");
    return index;
  }

  #addDirect(parts: readonly Part[]): number {
    const indices = parts.map(() => this.#take());
    for (const [i, part] of parts.entries()) {
      const flags = (part.writable ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0);
      this.describe(indices[i] ?? 0, part.at, part.length, flags, indices[i + 1] ?? 0);
    }
    const [head = 0] = indices;
    this.#chains.set(head, indices);
    return head;
  }

  #addIndirect(parts: readonly Part[]): number {
    const head = this.#take();
    this.#indirectAt(head, parts);
    this.#chains.set(head, [head]);
    return head;
  }

  #indirectAt(head: number, parts: readonly Part[]): void {
    const table = this.#ram.allocate(16 * parts.length);
    const view = this.#ram.view(table, 16 * parts.length);
    for (const [i, part] of parts.entries()) {
      view.setBigUint64(16 * i, BigInt(part.at), true);
      view.setUint32(16 * i + 8, part.length, true);
      const flags = (part.writable ? WRITE : 0) | (i + 1 < parts.length ? NEXT : 0);
      view.setUint16(16 * i + 12, flags, true);
      view.setUint16(16 * i + 14, i + 1, true);
    }
    this.describe(head, table, 16 * parts.length, INDIRECT, 0);
  }

  /** Puts a head into the available ring and, by default, publishes it. */
  offer(head: number, publish = true): void {
    this.#available.setUint16(4 + 2 * (this.#availableIndex % this.size), head, true);
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    if (publish) this.publish();
  }

  publish(index = this.#availableIndex): void {
    Atomics.store(this.#availableWords, 1, index);
  }

  notify(): void {
    this.kick.raise();
  }

  /** Takes the chains returned since the last call; their descriptors are free again. */
  takeUsed(): Used[] {
    const back: Used[] = [];
    while (this.#usedIndex !== this.usedIndex) {
      const slot = 4 + 8 * (this.#usedIndex % this.size);
      const head = this.#used.getUint32(slot, true);
      back.push({ head, length: this.#used.getUint32(slot + 4, true) });
      this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
      this.#free.push(...(this.#chains.get(head) ?? []));
      this.#chains.delete(head);
    }
    return back;
  }

  /** Waits until `count` chains were returned, with or without EVENT_IDX. Throws after `limitMs`. */
  async used(count: number, limitMs = 2000): Promise<Used[]> {
    const back = this.takeUsed();
    while (back.length < count) {
      this.setUsedEvent(this.#usedIndex);
      back.push(...this.takeUsed()); // returned before the interrupt was asked for
      if (back.length >= count) break;
      await this.interrupted(limitMs);
      back.push(...this.takeUsed());
    }
    return back;
  }

  /** Waits for an interrupt and takes it. Throws after `limitMs`. */
  async interrupted(limitMs = 2000): Promise<void> {
    if (this.call.clear() > 0) return;
    const { promise, resolve, reject } = this.#loop.promise<void>();
    using _watch = this.#loop.watch(this.call.fd, EPOLLIN, () => {
      if (this.call.clear() > 0) resolve();
    });
    using _limit = this.#loop.after(limitMs, () => {
      reject(new Error(`no interrupt in ${limitMs} ms`));
    });
    await promise;
  }

  [Symbol.dispose](): void {
    this.kick[Symbol.dispose]();
    this.call[Symbol.dispose]();
    this.error[Symbol.dispose]();
  }
}

const words = ({ buffer, byteOffset, byteLength }: DataView<ArrayBuffer>) =>
  new Uint16Array(buffer, byteOffset, byteLength >> 1);

// Descriptor chains: VIRTIO 1.2, 2.7.5. Every field of a descriptor is read once and then checked. A chain can be neither
// endless nor outside guest memory.
import {
  DESC_FLAGS,
  DESC_LEN,
  DESC_NEXT,
  DESC_SIZE,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "./ring-layout.ts";
import { MAX_REQUEST_BYTES } from "./virtio-device.ts";

/** Guest memory by address. A range that is not completely in guest memory is neither read nor written. */
export interface GuestAccess {
  contains(address: number, length: number): boolean;
  /** Copies `length` bytes to `to`, at its byte `at`. False when any of them is outside guest memory. */
  read(address: number, length: number, to: Uint8Array<ArrayBuffer>, at: number): boolean;
  /** Copies `length` bytes from byte `at` of `from`. False when any of the range is outside guest memory. */
  write(address: number, length: number, from: Uint8Array<ArrayBuffer>, at: number): boolean;
}

/** Writable bytes that are used: no answer is longer. */
const MAX_ROOM = 1 << 16;
/** Requests up to this length are copied to memory that is reused. */
const USUAL_REQUEST = 4096;
/** Descriptors of an indirect table, whatever the size of the queue. */
const MAX_INDIRECT = 1024;

/** A malformed chain: it is returned with length 0, and the queue goes on. */
export class BadChain extends Error {
  override readonly name = "BadChain";
}

/** A parsed chain: the request and the room for its answer. */
export interface Chain {
  readonly head: number;
  /** Valid until the next chain is walked. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly room: number;
  /** Address, length, address, length, ... of the writable parts, up to `room` bytes. */
  readonly writable: readonly number[];
}

const empty: Uint8Array<ArrayBuffer> = new Uint8Array(new ArrayBuffer(0));

/** A table of descriptors: that of the queue, or an indirect one. */
interface Table {
  readonly view: DataView<ArrayBuffer>;
  readonly count: number;
}

/** Parses the chains of a queue. Its memory is allocated once. */
export class ChainWalker {
  readonly #descriptors: Table;
  readonly #indirect: boolean;
  readonly #table = new Uint8Array(new ArrayBuffer(MAX_INDIRECT * DESC_SIZE));
  readonly #tableView = new DataView(this.#table.buffer);
  readonly #request = new ArrayBuffer(USUAL_REQUEST);
  /** A view of it for each length of a request so far. */
  readonly #views = new Map<number, Uint8Array<ArrayBuffer>>();
  /** Memory for longer requests, which a guest may send without end. */
  #large = new ArrayBuffer(0);
  /** Readable parts of the chain being walked: address, length, address, length. */
  #readable: number[] = [];
  #writable: number[] = [];
  #readableBytes = 0;
  #room = 0;
  #sawWritable = false;

  constructor(descriptors: DataView<ArrayBuffer>, size: number, indirect: boolean) {
    this.#descriptors = { view: descriptors, count: size };
    this.#indirect = indirect;
  }

  /** The chain at `head`, which is below the queue's size. Throws BadChain. */
  walk(head: number, memory: GuestAccess): Chain {
    this.#readable = [];
    this.#writable = [];
    this.#readableBytes = 0;
    this.#room = 0;
    this.#sawWritable = false;
    const indirect = this.#walkTable(this.#descriptors, head, memory, true);
    if (indirect !== undefined) this.#walkTable(indirect, 0, memory, false);
    const bytes = this.#copyRequest(memory);
    return { head, bytes, room: this.#room, writable: this.#writable };
  }

  /** Follows the descriptors of one table; returns the indirect table that the last one refers to, if any. */
  #walkTable(from: Table, first: number, memory: GuestAccess, outer: boolean): Table | undefined {
    const { view, count } = from;
    let index = first;
    for (let steps = 0; steps < count; steps++) {
      const at = index * DESC_SIZE;
      const low = view.getUint32(at, true);
      const high = view.getUint32(at + 4, true);
      // Rounded above 2^53, where no guest memory is.
      const address = high * 0x1_0000_0000 + low;
      const length = view.getUint32(at + DESC_LEN, true);
      const flags = view.getUint16(at + DESC_FLAGS, true);
      const next = view.getUint16(at + DESC_NEXT, true);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (!outer) throw new BadChain("an indirect table in an indirect table"); // 2.7.5.3.1
        if (!this.#indirect) throw new BadChain("an indirect table, which was not negotiated");
        if ((flags & VIRTQ_DESC_F_NEXT) !== 0)
          throw new BadChain("an indirect table with a next descriptor");
        return this.#readTable(address, length, memory);
      }
      this.#take(address, length, (flags & VIRTQ_DESC_F_WRITE) !== 0, memory);
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return undefined;
      if (next >= count) throw new BadChain(`descriptor ${next} of ${count}`);
      index = next;
    }
    throw new BadChain("a loop");
  }

  #readTable(address: number, length: number, memory: GuestAccess): Table {
    const count = length / DESC_SIZE;
    const most = Math.max(MAX_INDIRECT, this.#descriptors.count);
    if (!Number.isInteger(count) || count < 1 || count > most) {
      throw new BadChain(`an indirect table of ${length} bytes`);
    }
    // Longer tables, which only queues of more than 1024 entries may have, get memory of their own.
    const usual = count <= MAX_INDIRECT;
    const bytes = usual ? this.#table : new Uint8Array(new ArrayBuffer(length));
    const view = usual ? this.#tableView : new DataView(bytes.buffer);
    if (!memory.read(address, length, bytes, 0)) {
      throw new BadChain(`an indirect table at ${hex(address)} + ${length}, outside guest memory`);
    }
    return { view, count };
  }

  #take(address: number, length: number, writable: boolean, memory: GuestAccess): void {
    if (writable) this.#sawWritable = true;
    else if (this.#sawWritable) throw new BadChain("a readable part after a writable one");
    if (length === 0) return;
    if (!memory.contains(address, length)) {
      throw new BadChain(`${hex(address)} + ${length}, outside guest memory`);
    }
    if (!writable) {
      this.#readableBytes += length;
      if (this.#readableBytes > MAX_REQUEST_BYTES) throw new BadChain("more than 1 MiB to read");
      this.#readable.push(address, length);
    } else if (this.#room < MAX_ROOM) {
      const counted = Math.min(length, MAX_ROOM - this.#room);
      this.#writable.push(address, counted);
      this.#room += counted;
    }
  }

  #copyRequest(memory: GuestAccess): Uint8Array<ArrayBuffer> {
    if (this.#readableBytes === 0) return empty;
    const bytes = this.#memoryFor(this.#readableBytes);
    let done = 0;
    for (let i = 0; i < this.#readable.length; i += 2) {
      const length = this.#readable[i + 1] ?? 0;
      memory.read(this.#readable[i] ?? 0, length, bytes, done);
      done += length;
    }
    return bytes;
  }

  #memoryFor(length: number): Uint8Array<ArrayBuffer> {
    if (length > USUAL_REQUEST) {
      if (this.#large.byteLength < length) this.#large = new ArrayBuffer(length);
      return new Uint8Array(this.#large, 0, length);
    }
    const known = this.#views.get(length);
    if (known !== undefined) return known;
    const view = new Uint8Array(this.#request, 0, length);
    this.#views.set(length, view);
    return view;
  }
}

const hex = (address: number) => `0x${address.toString(16)}`;

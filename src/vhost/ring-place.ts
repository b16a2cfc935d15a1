// Size and addresses of a ring, as the front-end set them, and their host memory. vhost-user: SET_VRING_NUM, SET_VRING_ADDR.
import { type Area, areas, MAX_QUEUE_SIZE } from "../virtio/ring-layout.ts";
import type { Rings } from "../virtio/split-queue.ts";
import type { MemoryTable } from "./memory.ts";
import { RequestRefused } from "./request-refused.ts";

/** Addresses of the three areas, in the front-end's address space. */
export type Addresses = Readonly<Record<Area, bigint>>;

/** Place and size of a ring when its queue was made. */
export interface Identity extends Addresses {
  readonly size: number;
}

const names = Object.keys(areas) as Area[];

export class RingPlace {
  size = 0;
  addresses: Addresses | undefined;
  readonly #name: string;
  readonly #memory: MemoryTable;

  /** `name` is for error texts: "vring 0". */
  constructor(name: string, memory: MemoryTable) {
    this.#name = name;
    this.#memory = memory;
  }

  /** Sets the size. Throws RequestRefused unless it is a power of two up to 32768. */
  setSize(size: number): void {
    const power = size > 0 && (size & (size - 1)) === 0;
    if (!power || size > MAX_QUEUE_SIZE) {
      throw new RequestRefused(`${this.#name}: size ${size} is not a power of two up to 32768`);
    }
    this.size = size;
  }

  /** Host memory of the three areas. Throws RequestRefused when one is outside guest memory, unaligned or in two regions. */
  areas(): Rings {
    if (this.size === 0) throw new RequestRefused(`${this.#name} has no size`);
    return {
      descriptors: this.#area("descriptors"),
      available: this.#area("available"),
      used: this.#area("used"),
    };
  }

  #area(name: Area): Uint8Array<ArrayBuffer> {
    const at = this.addresses?.[name];
    if (at === undefined) throw new RequestRefused(`${this.#name} has no address`);
    const { align } = areas[name];
    const length = areas[name].bytes(this.size);
    const where = `${this.#name}: ${name} at 0x${at.toString(16)}`;
    const found = this.#memory.user(at, length);
    if (found === undefined) {
      throw new RequestRefused(`${where} + ${length} is outside guest memory`);
    }
    if ((found.region.address + found.offset) % align !== 0 || at % BigInt(align) !== 0n) {
      throw new RequestRefused(`${where} is not aligned to ${align}`);
    }
    return found.region.view(found.offset, length);
  }

  /** Whether `overlaps` is true for one of the areas, given by address and length. */
  touches(overlaps: (at: bigint, length: number) => boolean): boolean {
    const at = this.addresses;
    if (at === undefined || this.size === 0) return false;
    return names.some((name) => overlaps(at[name], areas[name].bytes(this.size)));
  }

  /** Place and size now; undefined before the addresses are set. */
  get identity(): Identity | undefined {
    return this.addresses && { ...this.addresses, size: this.size };
  }

  /** Whether place and size are still those of `identity`. */
  is(identity: Identity): boolean {
    const { addresses, size } = this;
    return size === identity.size && names.every((name) => addresses?.[name] === identity[name]);
  }
}

// Guest memory for tests: one or more regions on a memfd, between guard bytes that must not change.
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { GuestMemory, Span } from "../../src/virtio/virtio-device.ts";

/** Guard bytes before and after each region. */
const GUARD = 16_384;
const GUARD_BYTE = 0xa5;
const guard = new Uint8Array(new ArrayBuffer(GUARD)).fill(GUARD_BYTE);

export interface Region {
  readonly address: bigint;
  readonly length: number;
}

/** Guest memory with its own bytes; `replace` takes a new table into force, as a front-end does. */
export class TestMemory implements GuestMemory, Disposable {
  generation = 0;
  #regions: readonly { readonly region: Region; readonly mapping: Mapping; readonly fd: Fd }[] = [];
  readonly #fds: { readonly fd: Fd; readonly region: Region }[] = [];

  #free: bigint;

  constructor(regions: readonly Region[]) {
    this.replace(regions);
    this.#free = regions[0]?.address ?? 0n;
  }

  /** Allocates whole pages of the first region. */
  allocate(bytes: number): bigint {
    const at = this.#free;
    this.#free += BigInt(Math.ceil(bytes / 4096) * 4096);
    return at;
  }

  /** The position of allocation. Setting it back frees what was allocated after it. */
  get mark(): bigint {
    return this.#free;
  }
  set mark(at: bigint) {
    this.#free = at;
  }

  /** A new table; regions that were in an old one have their old bytes, in a new mapping. */
  replace(regions: readonly Region[]): void {
    const old = this.#regions;
    // As a front-end's table does: the old mappings go last, so that no new one is at the address of an old one.
    this.#regions = regions.map((region) => {
      let known = this.#fds.find((f) => f.region.address === region.address);
      if (known === undefined) {
        const length = region.length + 2 * GUARD;
        known = { fd: Fd.memory("guest", length), region };
        using whole = new Mapping(known.fd.number, length, "guest");
        whole.bytes.set(guard);
        whole.bytes.set(guard, GUARD + region.length);
        this.#fds.push(known);
      }
      const mapping = new Mapping(known.fd.number, region.length + 2 * GUARD, "guest");
      return { region, fd: known.fd, mapping };
    });
    this.generation++;
    for (const { mapping } of old) mapping[Symbol.dispose]();
  }

  resolve(address: bigint, length: bigint): readonly Span[] | undefined {
    if (length <= 0n) return undefined;
    const spans: Span[] = [];
    let at = address;
    const end = address + length;
    while (at < end) {
      const found = this.#regions.find(
        ({ region: r }) => at >= r.address && at < r.address + BigInt(r.length),
      );
      if (found === undefined) return undefined;
      const offset = Number(at - found.region.address);
      const n = Math.min(found.region.length - offset, Number(end - at));
      spans.push({
        address: found.mapping.address + GUARD + offset,
        length: n,
        bytes: found.mapping.bytes.subarray(GUARD + offset, GUARD + offset + n),
        fd: found.fd.number,
        offset: GUARD + offset,
      });
      at += BigInt(n);
    }
    return spans;
  }

  place(address: number, length: number): number {
    for (const { region, mapping } of this.#regions) {
      const offset = address - Number(region.address);
      if (offset >= 0 && offset + length <= region.length) return mapping.address + GUARD + offset;
    }
    return -1;
  }

  /** The bytes behind a guest address; the range must be in one region. */
  bytes(address: bigint, length: number): Uint8Array<ArrayBuffer> {
    const span = this.resolve(address, BigInt(length))?.[0];
    if (span === undefined || span.length !== length) throw new Error("not in one region");
    return span.bytes;
  }

  /** Throws when a guard byte has changed. */
  checkGuards(): void {
    for (const { mapping, region } of this.#regions) {
      for (const at of [0, GUARD + region.length])
        if (Buffer.compare(mapping.bytes.subarray(at, at + GUARD), guard) !== 0)
          throw new Error(`written outside guest memory, beside 0x${region.address.toString(16)}`);
    }
  }

  [Symbol.dispose](): void {
    for (const { mapping } of this.#regions) mapping[Symbol.dispose]();
    for (const { fd } of this.#fds) fd[Symbol.dispose]();
  }
}

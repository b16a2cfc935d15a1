// Frame buffers in pages of xen-gntalloc, which are granted to one other domain for reading.
import { must } from "../../ffi/errno.ts";
import * as alloc from "../../ffi/linux/xen-gntalloc.ts";
import { type Mapping, PROT_READ, PROT_WRITE } from "../../ffi/mapping.ts";
import { needed, UnavailableError } from "../errors.ts";
import { type Allocator, type FrameBuffer, partOf } from "../frame/memory.ts";
import {
  extended,
  GNTALLOC,
  GRANT_BYTES,
  type GrantDevice,
  LAST_DOMAIN,
  release,
  thisDomain,
  type XenDomain,
  xenAdvice,
} from "./xen-domain.ts";
import { checkRoom, type Demand, noRoomAdvice, pagesOf, referencesFor } from "./xen-room.ts";

export interface GrantOptions {
  /** The receiver's domain. */
  readonly domain: number;
  /** How many buffers there will be, to check whether all of them have room before the first is made. */
  readonly buffers: number;
  readonly xen?: XenDomain | undefined;
}

/** Makes buffers of granted pages, one allocation each, so that each is mapped in one piece on the other side. */
export class GrantAllocator implements Allocator {
  readonly name = GNTALLOC;
  /** This domain, which handles name. */
  readonly owner: number;
  readonly #domain: number;
  readonly #buffers: number;
  readonly #xen: XenDomain;
  readonly #device: GrantDevice;
  #checked: Demand | undefined;
  /** References of each buffer, by its address. */
  readonly #references = new Map<number, Uint32Array>();

  /** Opens /dev/xen/gntalloc and asks for this domain's number. Throws UnavailableError. */
  constructor({ domain, buffers, xen = thisDomain }: GrantOptions) {
    if (domain > LAST_DOMAIN) {
      throw new UnavailableError(`--domid is ${domain}, a Xen domain id is 0 to ${LAST_DOMAIN}`);
    }
    using owned = new DisposableStack();
    this.#device = owned.use(needed(() => xen.open(GNTALLOC), xenAdvice));
    this.owner = needed(() => xen.number(), xenAdvice);
    this.#xen = xen;
    this.#domain = domain;
    this.#buffers = buffers;
    owned.move();
  }

  allocate(length: number): FrameBuffer {
    const count = referencesFor(length);
    const demand = this.#demandWith(length);
    using owned = new DisposableStack();
    const { index, references } = needed(
      () => this.#grant(count),
      ({ code }) => (code === "ENOSPC" ? noRoomAdvice(demand, this.#xen.pageLimit()) : ""),
    );
    owned.defer(() => this.#end(index, count));
    const bytes = count * GRANT_BYTES;
    const mapping: Mapping = owned.use(
      needed(
        () => this.#device.map(bytes, index, PROT_READ | PROT_WRITE),
        () => "",
      ),
    );
    const { address } = mapping;
    this.#references.set(address, references);
    owned.defer(() => this.#references.delete(address));
    return partOf(mapping.slice(0, length), owned.move());
  }

  /** What the stream needs with one more buffer. It is checked when it is more than what was checked before. */
  #demandWith(bytes: number): Demand {
    const held = [...this.#references.values()].reduce((sum, { length }) => sum + length, 0);
    const demand =
      held === 0 ? { buffers: this.#buffers, bytes, held } : { buffers: 1, bytes, held };
    const checked = this.#checked;
    if (checked !== undefined && held > 0 && pagesOf(demand) <= pagesOf(checked)) return checked;
    checkRoom(demand, this.#xen);
    this.#checked = demand;
    return demand;
  }

  /** Allocates pages and grants them to the domain for reading. Throws SysError. */
  #grant(count: number): { readonly index: number; readonly references: Uint32Array } {
    const first = alloc.gntallocAllocGref.fields.gref_ids;
    const request = extended(alloc.gntallocAllocGref, (count - 1) * first.size);
    request.domid = this.#domain;
    request.flags = 0; // without GNTALLOC_FLAG_WRITABLE
    request.count = count;
    const call = alloc.IOCTL_GNTALLOC_ALLOC_GREF;
    must(this.#device.ioctl(call, request), call.name, `${this.#device.path} (${count} pages)`);
    const { buffer } = request.$bytes;
    return { index: request.index, references: new Uint32Array(buffer, first.offset, count) };
  }

  #end(index: number, count: number): void {
    const request = alloc.gntallocDeallocGref.alloc();
    request.index = index;
    request.count = count;
    release(this.#device, alloc.IOCTL_GNTALLOC_DEALLOC_GREF, request, count);
  }

  /** The references of the buffer that begins at `address`. */
  referencesAt(address: number): Uint32Array | undefined {
    return this.#references.get(address);
  }

  [Symbol.dispose](): void {
    this.#device[Symbol.dispose]();
  }
}

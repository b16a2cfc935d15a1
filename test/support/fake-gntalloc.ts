// /dev/xen/gntalloc of a domain in this process, modelled on Linux, drivers/xen/gntalloc.c: indices, errors, what counts to the
// limit, and when a page is free again.
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as alloc from "../../ffi/linux/xen-gntalloc.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { GNTALLOC, type GrantDevice } from "../../src/share/xen-domain.ts";
import { firstOf, type Grant, PAGE, serve, watched } from "./fake-grant.ts";
import type { FakeDomain } from "./fake-xen.ts";

/** The name of the memory, for counts of mappings. */
export const XEN_MEMORY = "framepass-xen";

/** An open /dev/xen/gntalloc. */
export class AllocFile implements GrantDevice {
  readonly path = GNTALLOC;
  readonly #domain: FakeDomain;
  /** `priv->list`, in the order of the offsets. */
  #list: Grant[] = [];
  #index = 0;
  #open = true;
  /** Pages that exist of what was allocated together. */
  readonly #sizes = new Map<Fd, number>();

  constructor(domain: FakeDomain) {
    this.#domain = domain;
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    return serve(this.#domain, request, this.path, () => {
      if (request.code === alloc.IOCTL_GNTALLOC_ALLOC_GREF.code)
        return this.#allocate(argument as never);
      if (request.code === alloc.IOCTL_GNTALLOC_DEALLOC_GREF.code)
        return this.#deallocate(argument as never);
      return -errno.ENOTTY;
    });
  }

  #allocate(a: Struct<typeof alloc.gntallocAllocGref.fields>): number {
    const { hypervisor, limit } = this.#domain;
    const { count } = a;
    this.#cleanUp();
    if ((this.#domain.pages + count) >>> 0 > limit >>> 0) return -errno.ENOSPC; // it has no sign there
    if (hypervisor.free.length < count) {
      this.#domain.pages -= 1; // the grant table is full, and `undo` counts the page that was refused twice
      return -errno.ENOSPC;
    }
    const references = new Uint32Array(a.$bytes.buffer, a.$bytes.byteOffset + 16, count);
    a.index = this.#index;
    this.#index += count * PAGE;
    this.#domain.pages += count;
    const memory = Fd.memory(XEN_MEMORY, count * PAGE);
    this.#sizes.set(memory, count);
    for (let i = 0; i < count; i++) {
      const grant: Grant = {
        reference: hypervisor.free.pop() ?? 0,
        owner: this.#domain.number(),
        peer: a.domid,
        readOnly: (a.flags & 1) === 0,
        file: this,
        memory,
        at: i * PAGE,
        offset: a.index + i * PAGE,
        users: 1,
        mapped: 0,
      };
      hypervisor.grants.set(grant.reference, grant);
      references[i] = grant.reference;
      this.#list.push(grant);
    }
    return 0;
  }

  /** `find_grefs`: pages that follow each other in this file. */
  #find(index: number, count: number): Grant[] | undefined {
    const first = this.#list.findIndex(({ offset }) => offset === index);
    const found = first < 0 ? [] : this.#list.slice(first, first + count);
    const follows = found.every(({ offset }, i) => offset === index + i * PAGE);
    return found.length === count && count > 0 && follows ? found : undefined;
  }

  #deallocate(a: Struct<typeof alloc.gntallocDeallocGref.fields>): number {
    const found = this.#find(a.index, a.count);
    if (found === undefined) return -errno.EINVAL;
    this.#list = this.#list.filter((grant) => !found.includes(grant));
    for (const grant of found) grant.users -= 1;
    this.#cleanUp();
    return 0;
  }

  map(length: number, offset: number, protection: number): Mapping {
    this.#domain.check("mmap", this.path);
    const found = this.#find(offset, Math.ceil(length / PAGE));
    if (found === undefined) throw new SysError("mmap", this.path, errno.ENOENT);
    const { memory, at } = firstOf(found);
    const mapping = new Mapping(memory.number, length, this.path, protection, at);
    for (const grant of found) grant.users += 1;
    return watched(mapping, () => {
      for (const grant of found) this.#drop(grant);
    });
  }

  #drop(grant: Grant): void {
    grant.users -= 1;
    if (grant.users === 0) this.#end(grant);
  }

  /** `do_cleanup`: ends all grants of the domain that only waited for the peer. */
  #cleanUp(): void {
    for (const grant of this.#domain.hypervisor.grants.values()) {
      const { users, owner, file } = grant;
      if (users === 0 && owner === this.#domain.number() && file) file.#end(grant);
    }
  }

  /**
   * `__del_gref`: frees the page, unless the peer maps it. Kernels before 5.17 try again at the next call and count the page
   * until then. Later ones hand it to the grant table (`gnttab_add_deferred`), which tries again once a second.
   */
  #end(grant: Grant): void {
    const { hypervisor, older } = this.#domain;
    if (!(older && grant.mapped > 0) && !grant.deferred) this.#domain.pages -= 1;
    grant.deferred = grant.mapped > 0 && !older;
    if (grant.mapped > 0) return;
    hypervisor.grants.delete(grant.reference);
    hypervisor.free.push(grant.reference);
    const { memory } = grant;
    const left = (this.#sizes.get(memory) ?? 0) - 1;
    this.#sizes.set(memory, left);
    if (left > 0) return;
    this.#sizes.delete(memory);
    memory[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const grant of this.#list.splice(0)) this.#drop(grant);
  }
}

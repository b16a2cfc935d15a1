// Xen domains in one process: each has the devices of xen-gntalloc and xen-gntdev, and they share the hypervisor's table of
// grants. Modelled on Linux, drivers/xen/gntalloc.c and drivers/xen/gntdev.c: indices, errors, what counts to the limit, and
// when a page is free again. It cannot show: what the hypervisor checks at a write, DMA, the end of a domain.
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as alloc from "../../ffi/linux/xen-gntalloc.ts";
import * as dev from "../../ffi/linux/xen-gntdev.ts";
import { Mapping, PROT_WRITE } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { GNTALLOC, GNTDEV, type GrantDevice, type XenDomain } from "../../src/share/xen-domain.ts";

const PAGE = 4096;
/** Room of one open gntalloc file. */
const FILE_BYTES = 256 * 1024 * 1024;
/** The name of the memory, for counts of mappings. */
export const XEN_MEMORY = "framepass-xen";

/** A granted page: struct gntalloc_gref. */
interface Grant {
  readonly reference: number;
  readonly owner: number;
  readonly peer: number;
  readonly readOnly: boolean;
  readonly file: AllocFile;
  readonly offset: number;
  /** The open file and each mapping of this domain. At 0 it waits for the peer. */
  users: number;
  /** Mappings of the peer. */
  mapped: number;
}

export class FakeXen {
  readonly grants = new Map<number, Grant>();
  /** Free references; the last one freed is the next one given, so they are not in order. */
  readonly free = Array.from({ length: 16_384 - 8 }, (_, i) => i + 8);

  domain(number: number): FakeDomain {
    return new FakeDomain(this, number);
  }
}

/** A machine without Xen. */
export function noXen(): FakeDomain {
  const domain = new FakeXen().domain(0);
  for (const path of [GNTALLOC, GNTDEV]) domain.fail.set(path, errno.ENOENT);
  return domain;
}

/** One domain. */
export class FakeDomain implements XenDomain {
  readonly calls: string[] = [];
  /** ioctl name, "mmap" or a path that is opened -> errno it fails with. */
  readonly fail = new Map<string, number>();
  readonly hypervisor: FakeXen;
  /** The parameter of xen_gntalloc. */
  limit = 1024;
  /** `gref_size`: pages that count to the limit. */
  pages = 0;
  readonly #number: number;

  constructor(hypervisor: FakeXen, number: number) {
    this.hypervisor = hypervisor;
    this.#number = number;
  }

  /** Throws SysError where a test wants `what` to fail. */
  check(what: string, object: string): void {
    this.calls.push(what);
    const failure = this.fail.get(what);
    if (failure !== undefined) throw new SysError(what, object, failure);
  }

  open(path: string): GrantDevice {
    const failure = this.fail.get(path);
    if (failure !== undefined) throw new SysError("open", path, failure);
    if (path === GNTALLOC) return new AllocFile(this);
    if (path === GNTDEV) return new DevFile(this);
    throw new SysError("open", path, errno.ENOENT);
  }

  number(): number {
    this.check("domid", "/dev/xen/xenbus");
    return this.#number;
  }

  pageLimit(): number | undefined {
    return this.limit;
  }
}

/** Answers an ioctl as the call does. */
function serve<F extends Fields>(
  domain: FakeDomain,
  request: Ioctl<F>,
  path: string,
  answer: () => number,
): number {
  try {
    domain.check(request.name, path);
  } catch (error) {
    return -(error as SysError).errno;
  }
  return answer();
}

/** A mapping that calls `closed` when it is unmapped, as a driver's vm_operations are called. */
function watched(mapping: Mapping, closed: () => void): Mapping {
  const unmap = mapping[Symbol.dispose].bind(mapping);
  let open = true;
  Object.defineProperty(mapping, Symbol.dispose, {
    value: () => {
      unmap();
      if (open) closed();
      open = false;
    },
  });
  return mapping;
}

/** An open /dev/xen/gntalloc. */
class AllocFile implements GrantDevice {
  readonly path = GNTALLOC;
  readonly memory = Fd.memory(XEN_MEMORY, FILE_BYTES);
  readonly #domain: FakeDomain;
  /** `priv->list`, in the order of the offsets. */
  #list: Grant[] = [];
  #index = 0;
  #open = true;
  /** Pages that exist, of this file. */
  #pages = 0;

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
    if (this.#domain.pages + count > limit) return -errno.ENOSPC;
    if (hypervisor.free.length < count) return -errno.ENOSPC; // the grant table is full
    const references = new Uint32Array(a.$bytes.buffer, a.$bytes.byteOffset + 16, count);
    a.index = this.#index;
    this.#index += count * PAGE;
    this.#domain.pages += count;
    this.#pages += count;
    for (let i = 0; i < count; i++) {
      const grant: Grant = {
        reference: hypervisor.free.pop() ?? 0,
        owner: this.#domain.number(),
        peer: a.domid,
        readOnly: (a.flags & 1) === 0,
        file: this,
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
    const mapping = new Mapping(this.memory.number, length, this.path, protection, offset);
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
      if (grant.users === 0 && grant.owner === this.#domain.number()) grant.file.#end(grant);
    }
  }

  /** `__del_gref`: frees the page, unless the peer maps it. */
  #end(grant: Grant): void {
    if (grant.mapped > 0) return;
    const { hypervisor } = this.#domain;
    hypervisor.grants.delete(grant.reference);
    hypervisor.free.push(grant.reference);
    this.#domain.pages -= 1;
    this.#pages -= 1;
    this.#freeMemory();
  }

  #freeMemory(): void {
    if (!this.#open && this.#pages === 0) this.memory[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    for (const grant of this.#list.splice(0)) this.#drop(grant);
    this.#freeMemory();
  }
}

/** struct gntdev_grant_map */
interface GrantMap {
  readonly index: number;
  readonly references: readonly { readonly domid: number; readonly ref: number }[];
  mapped: boolean;
}

/** An open /dev/xen/gntdev. */
class DevFile implements GrantDevice {
  readonly path = GNTDEV;
  readonly #domain: FakeDomain;
  readonly #maps: GrantMap[] = [];

  constructor(domain: FakeDomain) {
    this.#domain = domain;
  }

  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number {
    return serve(this.#domain, request, this.path, () => {
      if (request.code === dev.IOCTL_GNTDEV_MAP_GRANT_REF.code)
        return this.#insert(argument as never);
      if (request.code === dev.IOCTL_GNTDEV_UNMAP_GRANT_REF.code)
        return this.#remove(argument as never);
      return -errno.ENOTTY;
    });
  }

  #insert(a: Struct<typeof dev.gntdevMapGrantRef.fields>): number {
    const { count } = a;
    if (count < 1 || count > 65_536) return -errno.EINVAL;
    const words = new Uint32Array(a.$bytes.buffer, a.$bytes.byteOffset + 16, 2 * count);
    const references = Array.from({ length: count }, (_, i) => ({
      domid: words[2 * i] ?? 0,
      ref: words[2 * i + 1] ?? 0,
    }));
    // `gntdev_add_map`: the first gap that is larger, in pages.
    let index = 0;
    let at = 0;
    for (const map of this.#maps) {
      if (index + count < map.index) break;
      index = map.index + map.references.length;
      at += 1;
    }
    this.#maps.splice(at, 0, { index, references, mapped: false });
    a.index = index * PAGE;
    return 0;
  }

  #find(offset: number, count: number): GrantMap | undefined {
    return this.#maps.find(
      ({ index, references }) => index * PAGE === offset && references.length === count,
    );
  }

  #remove(a: Struct<typeof dev.gntdevUnmapGrantRef.fields>): number {
    const map = this.#find(a.index, a.count);
    if (map === undefined) return -errno.ENOENT;
    this.#maps.splice(this.#maps.indexOf(map), 1);
    return 0;
  }

  map(length: number, offset: number, protection: number): Mapping {
    this.#domain.check("mmap", this.path);
    const refuse = () => new SysError("mmap", this.path, errno.EINVAL);
    const map = this.#find(offset, Math.ceil(length / PAGE));
    if (map === undefined || map.mapped) throw refuse();
    const writing = (protection & PROT_WRITE) !== 0;
    const grants = map.references.map(({ domid, ref }) => {
      const grant = this.#domain.hypervisor.grants.get(ref);
      const mine = grant?.owner === domid && grant.peer === this.#domain.number();
      if (grant === undefined || !mine || (writing && grant.readOnly)) throw refuse();
      return grant;
    });
    const [first] = grants;
    if (first === undefined) throw refuse();
    const together = grants.every(
      ({ file, offset: at }, i) => file === first.file && at === first.offset + i * PAGE,
    );
    if (!together) throw new Error("the stand-in maps pages of one buffer in their order");
    const { memory } = first.file;
    const mapping = new Mapping(memory.number, length, this.path, protection, first.offset);
    map.mapped = true;
    for (const grant of grants) grant.mapped += 1;
    return watched(mapping, () => {
      map.mapped = false;
      for (const grant of grants) grant.mapped -= 1;
    });
  }

  /** What was inserted and not removed. */
  get inserted(): number {
    return this.#maps.length;
  }

  [Symbol.dispose](): void {
    this.#maps.length = 0;
  }
}

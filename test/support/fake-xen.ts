// Xen domains in one process: each has the devices of xen-gntalloc and xen-gntdev, and they share the hypervisor's table of
// grants. It cannot show: what the hypervisor checks at a write, DMA, the end of a domain.
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { GNTALLOC, GNTDEV, type GrantDevice, type XenDomain } from "../../src/share/xen-domain.ts";
import { AllocFile } from "./fake-gntalloc.ts";
import { DevFile } from "./fake-gntdev.ts";
import { type Grant, PAGE } from "./fake-grant.ts";

export class FakeXen {
  readonly grants = new Map<number, Grant>();
  /** Free references; the last one freed is the next one given, so they are not in order. */
  readonly free = Array.from({ length: 16_384 - 8 }, (_, i) => i + 8);

  domain(number: number): FakeDomain {
    return new FakeDomain(this, number);
  }

  /** Grants the pages of `memory` as a driver in domain `owner` does, by these references. */
  grant(memory: Fd, owner: number, peer: number, references: Uint32Array): void {
    for (const [i, reference] of references.entries()) {
      const place = { memory, at: i * PAGE, offset: i * PAGE };
      const grant = { reference, owner, peer, readOnly: false, ...place, users: 1, mapped: 0 };
      this.grants.set(reference, grant);
    }
  }

  /** The memory of pages that a driver in domain `peer` imports. */
  granted(owner: number, peer: number, references: readonly number[]): Fd | undefined {
    const grants = references.map((reference) => this.grants.get(reference));
    const [first] = grants;
    const all = grants.every(
      (grant, i) =>
        grant?.memory === first?.memory &&
        grant?.at === i * PAGE &&
        grant.owner === owner &&
        grant.peer === peer,
    );
    return all ? first?.memory : undefined;
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
  /** Whether its kernel is older than 5.17. */
  older = false;
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

// /dev/xen/gntdev of a domain in this process, modelled on Linux, drivers/xen/gntdev.c with a paravirtual domain's use_ptemod.
import { errno, SysError } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as dev from "../../ffi/linux/xen-gntdev.ts";
import { Mapping, PROT_WRITE } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { GNTDEV, type GrantDevice } from "../../src/share/xen-domain.ts";
import { firstOf, PAGE, serve, watched } from "./fake-grant.ts";
import type { FakeDomain } from "./fake-xen.ts";

/** struct gntdev_grant_map */
interface GrantMap {
  readonly index: number;
  readonly references: readonly { readonly domid: number; readonly ref: number }[];
  /** `in_use`: mmap was called for it. It can be called once. */
  used: boolean;
}

/** An open /dev/xen/gntdev. */
export class DevFile implements GrantDevice {
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
    this.#maps.splice(at, 0, { index, references, used: false });
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
    if (map === undefined || map.used) throw refuse();
    map.used = true;
    const writing = (protection & PROT_WRITE) !== 0;
    const grants = map.references.map(({ domid, ref }) => {
      const grant = this.#domain.hypervisor.grants.get(ref);
      const mine = grant?.owner === domid && grant.peer === this.#domain.number();
      if (grant === undefined || !mine || (writing && grant.readOnly)) throw refuse();
      return grant;
    });
    const { memory, at } = firstOf(grants);
    const mapping = new Mapping(memory.number, length, this.path, protection, at);
    for (const grant of grants) grant.mapped += 1;
    return watched(mapping, () => {
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

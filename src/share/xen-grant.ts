// Sharing between Xen domains by the kernel's own drivers. The sender's buffers are pages of xen-gntalloc, granted to the
// receiver's domain for reading; the camera writes there (V4L2_MEMORY_USERPTR). The receiver maps them by xen-gntdev.
import { must, SysError } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as alloc from "../../ffi/linux/xen-gntalloc.ts";
import * as dev from "../../ffi/linux/xen-gntdev.ts";
import { type Mapping, PROT_READ, PROT_WRITE } from "../../ffi/mapping.ts";
import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import { log } from "../cli/log.ts";
import { needed, ProtocolError, UnavailableError } from "../errors.ts";
import { type Allocator, type FrameBuffer, partOf } from "../frame/memory.ts";
import type { Exporter, Handle, Importer } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";
import {
  GNTALLOC,
  GNTDEV,
  GRANT_BYTES,
  type GrantDevice,
  LAST_DOMAIN,
  thisDomain,
  type XenDomain,
} from "./xen-domain.ts";
import { checkRoom, noRoomAdvice, referencesFor, warnOfTable } from "./xen-room.ts";

const modules: Readonly<Record<string, string>> = {
  [GNTALLOC]: "xen-gntalloc",
  [GNTDEV]: "xen-gntdev",
};

/** What to do when a device of Xen cannot be used. */
export function xenAdvice({ object, code }: SysError): string {
  if (code === "EACCES" || code === "EPERM") return "run as root, or give yourself access to it";
  if (code !== "ENOENT" && code !== "ENODEV") return "";
  const module = modules[object];
  const load = module === undefined ? "" : `, or its kernel needs modprobe ${module}`;
  return `this is no Xen domain${load}`;
}

/** A struct that is followed by `more` bytes, as the drivers' structs of variable length are. */
function extended<F extends Fields>(type: StructType<F>, more: number): Struct<F> {
  return type.over(new Uint8Array(new ArrayBuffer(type.size + more)));
}

/** Undoes an allocation or a mapping of grants. A failure is only logged: the file's close undoes it as well. */
function release<F extends Fields>(
  device: GrantDevice,
  request: Ioctl<F>,
  argument: Struct<F>,
  pages: number,
): void {
  const r = device.ioctl(request, argument);
  if (r < 0) log.warn(new SysError(request.name, `${device.path} (${pages} pages)`, -r).message);
}

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
    const buffers = Math.max(this.#buffers, this.#references.size + 1);
    const limit = this.#xen.pageLimit();
    checkRoom(buffers, length, limit);
    if (this.#references.size === 0) warnOfTable(buffers, length);
    using owned = new DisposableStack();
    const { index, references } = this.#grant(length, (error) =>
      error.code === "ENOSPC" ? noRoomAdvice(buffers, length, limit) : "",
    );
    const { length: count } = references;
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

  /** Allocates pages and grants them to the domain for reading. */
  #grant(length: number, advice: (error: SysError) => string) {
    const count = referencesFor(length);
    const first = alloc.gntallocAllocGref.fields.gref_ids;
    const request = extended(alloc.gntallocAllocGref, (count - 1) * first.size);
    request.domid = this.#domain;
    request.flags = 0; // without GNTALLOC_FLAG_WRITABLE
    request.count = count;
    const call = alloc.IOCTL_GNTALLOC_ALLOC_GREF;
    const what = `${this.#device.path} (${count} pages)`;
    needed(() => must(this.#device.ioctl(call, request), call.name, what), advice);
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

/** Makes handles for the buffers of `source`, which `memory` allocated. Throws UnavailableError. */
export function exportGrants(source: Source, memory: GrantAllocator): Exporter {
  const handles = source.frames.map((frame): Handle => {
    const [piece] = frame.pieces;
    const references = piece && memory.referencesAt(piece.address);
    if (piece === undefined || references === undefined || frame.pieces.length > 1)
      throw new UnavailableError(`${source.name}: its pictures are not in one piece`);
    const shared = { pageBytes: GRANT_BYTES, domain: memory.owner, references };
    return { kind: "grants", id: BigInt(frame.index + 1), length: piece.length, ...shared };
  });
  return {
    name: `xen-grant (domain ${memory.owner})`,
    handles,
    descriptor: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
}

/** Maps handles with grant references. Opens /dev/xen/gntdev. Throws UnavailableError. */
export function importGrants(xen: XenDomain = thisDomain): Importer {
  const device = needed(() => xen.open(GNTDEV), xenAdvice);
  return {
    name: "xen-grant",
    kind: "grants",
    import: (handle, { sizeimage }, passed) => {
      passed?.[Symbol.dispose]();
      if (handle.kind !== "grants")
        throw new ProtocolError(`handle ${handle.id}: not of kind grants`);
      return mapGrants(device, handle, Math.min(handle.length, sizeimage), xen);
    },
    [Symbol.dispose]: () => device[Symbol.dispose](),
  };
}

/** Maps the first `length` bytes of a handle's pages, read-only, in one piece. */
function mapGrants(
  device: GrantDevice,
  handle: Handle & { readonly kind: "grants" },
  length: number,
  xen: XenDomain,
): FrameBuffer {
  const count = checkGrants(handle, length);
  using owned = new DisposableStack();
  const index = insert(device, handle, count);
  owned.defer(() => {
    const request = dev.gntdevUnmapGrantRef.alloc();
    request.index = index;
    request.count = count;
    release(device, dev.IOCTL_GNTDEV_UNMAP_GRANT_REF, request, count);
  });
  const mapping = owned.use(
    onPages(handle, xen, () => device.map(count * GRANT_BYTES, index, PROT_READ)),
  );
  return partOf(mapping.slice(0, length), owned.move());
}

/** How many references to map for `length` bytes. Throws ProtocolError for a handle that no driver may see. */
function checkGrants(
  { id, pageBytes, domain, references }: Handle & { readonly kind: "grants" },
  length: number,
): number {
  if (pageBytes !== GRANT_BYTES) {
    throw new ProtocolError(`handle ${id}: pages of ${pageBytes} bytes, must be ${GRANT_BYTES}`);
  }
  if (domain > LAST_DOMAIN) {
    throw new ProtocolError(`handle ${id}: gref_domid is ${domain}, must be 0 to ${LAST_DOMAIN}`);
  }
  const count = referencesFor(length);
  if (count < 1 || count > references.length) {
    throw new ProtocolError(
      `handle ${id}: ${length} bytes need ${count} references, it has ${references.length}`,
    );
  }
  return count;
}

/** Puts the first `count` references into the table of `device`. Returns the offset at which they can be mapped. */
function insert(
  device: GrantDevice,
  { domain, references }: Handle & { readonly kind: "grants" },
  count: number,
): number {
  const { size } = dev.gntdevGrantRef;
  const request = extended(dev.gntdevMapGrantRef, (count - 1) * size);
  request.count = count;
  const first = dev.gntdevMapGrantRef.fields["refs[0].domid"].offset;
  const all = new Uint8Array(request.$bytes.buffer);
  for (let i = 0; i < count; i++) {
    const one = dev.gntdevGrantRef.over(all, first + i * size);
    one.domid = domain;
    one.ref = references[i] ?? 0;
  }
  const call = dev.IOCTL_GNTDEV_MAP_GRANT_REF;
  needed(
    () => must(device.ioctl(call, request), call.name, `${device.path} (${count} pages)`),
    () => "",
  );
  return request.index;
}

/** Maps. The hypervisor refuses references that are not granted to this domain with EINVAL: that is the sender's fault. */
function onPages(
  { id, domain, references }: Handle & { readonly kind: "grants" },
  xen: XenDomain,
  map: () => Mapping,
): Mapping {
  try {
    return needed(map, () => "");
  } catch (error) {
    const { cause } = error as Error;
    if (!(cause instanceof SysError) || cause.code !== "EINVAL") throw error;
    const text = `handle ${id}: ${cause.message}: domain ${domain} did not grant all ${references.length} references to this domain; give the sender --domid ${ownNumber(xen)}`;
    throw new ProtocolError(text, { cause });
  }
}

/** This domain's number for a text. */
function ownNumber(xen: XenDomain): number | string {
  try {
    return xen.number();
  } catch {
    return "with the number of this domain (xl list shows it)";
  }
}

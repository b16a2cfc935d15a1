// Sharing between Xen domains by the kernel's own drivers. The sender's buffers are pages of xen-gntalloc, granted to the
// receiver's domain for reading; the camera writes there (V4L2_MEMORY_USERPTR). The receiver maps them by xen-gntdev.
import { must, SysError } from "../../ffi/errno.ts";
import * as dev from "../../ffi/linux/xen-gntdev.ts";
import { type Mapping, PROT_READ } from "../../ffi/mapping.ts";
import { needed, ProtocolError, UnavailableError } from "../errors.ts";
import { type FrameBuffer, partOf } from "../frame/memory.ts";
import type { Exporter, Handle, Importer } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";
import type { GrantAllocator } from "./grant-allocator.ts";
import {
  extended,
  GNTDEV,
  GRANT_BYTES,
  type GrantDevice,
  LAST_DOMAIN,
  release,
  thisDomain,
  type XenDomain,
  xenAdvice,
} from "./xen-domain.ts";
import { referencesFor } from "./xen-room.ts";

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

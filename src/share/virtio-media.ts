// Sharing between Xen domains by a virtio-media driver's private ioctls. The sender's driver grants its buffers to the
// other domain, where the driver imports them as dma-bufs. docs/protocol.md; ffi/linux/virtio-media.ts.
import { errno, must, SysError } from "../../ffi/errno.ts";
import { endOf, Fd } from "../../ffi/fd.ts";
import type { Ioctl, IoctlDevice } from "../../ffi/ioctl.ts";
import { V4L2_BUF_TYPE_VIDEO_CAPTURE } from "../../ffi/linux/videodev2.ts";
import * as k from "../../ffi/linux/virtio-media.ts";
import { pageSize } from "../../ffi/mapping.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import { log } from "../cli/log.ts";
import { needed, ProtocolError, UnavailableError } from "../errors.ts";
import type { Exporter, Handle, Importer } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";
import { mapForReading } from "./fd.ts";
import { LAST_DOMAIN } from "./xen-domain.ts";

/** The two revisions of the IMPORT ioctl; a driver has one of them. */
const revisions = [
  { references: 4000, request: k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER },
  { references: 512, request: k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512 },
] as const;
type Revision = (typeof revisions)[number];

/** What the driver answers to IMPORT of one revision. Sends a request that every driver refuses. */
function probe(device: IoctlDevice, { request }: Revision): number {
  const question = request.argument.alloc();
  question.dmabuf_fd = -1;
  const r = device.ioctl(request, question);
  if (r >= 0) closeUnwanted(question.dmabuf_fd);
  return r;
}

/** The revision of a driver that has the ioctls; undefined when it knows neither. */
function findRevision(device: IoctlDevice): Revision | undefined {
  return revisions.find((revision) => probe(device, revision) !== -errno.ENOTTY);
}

/**
 * Whether a driver can map handles, for --share auto. A driver with the ioctls knows one revision only, so its two answers
 * differ. Other drivers answer both alike: with ENOTTY, EINVAL or EOPNOTSUPP.
 */
export function mapsHandles(device: IoctlDevice): boolean {
  const answers = new Set(revisions.map((revision) => probe(device, revision)));
  return answers.size > 1;
}

/** Why a driver cannot export its buffers, for --share auto; undefined when it can. Exports the first one and releases it. */
export function exportFailure(device: IoctlDevice): SysError | undefined {
  const call = k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER;
  const request = k.virtioMediaExportBuffer.alloc();
  request.queue_type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.dmabuf_fd = -1;
  const r = device.ioctl(call, request);
  if (r < 0) return new SysError(call.name, device.path, -r);
  closeUnwanted(request.dmabuf_fd);
  releaseHandle(device, request.handle_id);
  return undefined;
}

function noIoctls(device: IoctlDevice): UnavailableError {
  const error = new SysError(revisions[0].request.name, device.path, errno.ENOTTY);
  return new UnavailableError(
    `${error.message}; its driver has no virtio-media ioctls, choose another --share`,
    { cause: error },
  );
}

function demandRevision(device: IoctlDevice): Revision {
  const revision = findRevision(device);
  if (revision !== undefined) return revision;
  throw noIoctls(device);
}

const named = ({ references }: Revision) => `virtio-media (${references} references)`;

function closeUnwanted(fd: number): void {
  if (fd >= 0) new Fd(fd, "dma-buf")[Symbol.dispose]();
}

function call<F extends Fields>(device: IoctlDevice, request: Ioctl<F>, argument: Struct<F>): void {
  needed(
    () => must(device.ioctl(request, argument), request.name, device.path),
    () => "",
  );
}

/** Throws UnavailableError for a number that is no domain id. */
function checkDomain(what: string, domain: number): void {
  if (domain <= LAST_DOMAIN) return;
  throw new UnavailableError(`${what} is ${domain}, a Xen domain id is 0 to ${LAST_DOMAIN}`);
}

/** Throws UnavailableError when a buffer has more pages than a handle has room for. */
function checkPages(device: IoctlDevice, revision: Revision, length: number): number {
  const pages = Math.ceil(length / pageSize);
  if (pages <= revision.references) return pages;
  throw new UnavailableError(
    `${device.path}: a buffer of ${length} bytes needs ${pages} grant references, virtio-media carries ${revision.references}; choose a smaller picture`,
  );
}

function checkPageSize(who: string, bytes: number): void {
  if (bytes === pageSize) return;
  throw new UnavailableError(
    `${who}: pages of ${bytes} bytes, this host has pages of ${pageSize}; both domains need the same`,
  );
}

/** Exports every buffer of `source`, a camera with MMAP buffers, to `domain`. Throws UnavailableError. */
export function exportVirtioMedia(source: Source, domain: number): Exporter {
  const { device } = source;
  if (device === undefined) {
    throw new UnavailableError(`${source.name}: no driver behind it; choose another --share`);
  }
  checkDomain("--domid", domain);
  const revision = demandRevision(device);
  for (const frame of source.frames) {
    if (frame.pieces.length === 1) continue;
    throw new UnavailableError(
      `${device.path}: its pictures have padded rows or separate planes, which handles cannot describe; choose another --format or --width`,
    );
  }
  checkPages(device, revision, source.picture.sizeimage);
  using owned = new DisposableStack();
  const handles = source.frames.map((frame) => {
    const exported = exportBuffer(device, frame.index, owned);
    return grantBuffer(device, revision, exported, source.picture.sizeimage, domain);
  });
  const release = owned.move();
  return {
    name: named(revision),
    handles,
    descriptor: () => undefined,
    [Symbol.dispose]: () => release.dispose(),
  };
}

interface Exported {
  readonly id: bigint;
  readonly length: bigint;
}

function exportBuffer(device: IoctlDevice, index: number, owned: DisposableStack): Exported {
  const request = k.virtioMediaExportBuffer.alloc();
  request.queue_type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
  request.buffer_index = index;
  request.dmabuf_fd = -1;
  call(device, k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER, request);
  const { handle_id: id, len: length, dmabuf_fd } = request;
  owned.defer(() => releaseHandle(device, id));
  closeUnwanted(dmabuf_fd);
  return { id, length };
}

function releaseHandle(device: IoctlDevice, id: bigint): void {
  const request = k.virtioMediaReleaseHandle.alloc();
  request.handle_id = id;
  const r = device.ioctl(k.VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE, request);
  if (r >= 0) return;
  const name = k.VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE.name;
  log.warn(new SysError(name, `${device.path} (handle ${id})`, -r).message);
}

function grantBuffer(
  device: IoctlDevice,
  revision: Revision,
  { id, length }: Exported,
  sizeimage: number,
  domain: number,
): Handle {
  const bytes = Number(length);
  if (bytes < sizeimage || bytes > 0xffff_ffff) {
    const what = `${k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER.name} ${device.path}`;
    throw new UnavailableError(
      `${what}: handle ${id} has ${length} bytes, a picture has ${sizeimage}`,
    );
  }
  const pages = checkPages(device, revision, bytes);
  const { request } = revision;
  const grant = request.argument.alloc();
  grant.handle_id = id;
  grant.flags = k.VIRTIO_MEDIA_TARGET_DOMID;
  grant.gref_domid = domain;
  grant.dmabuf_fd = -1;
  call(device, request, grant);
  closeUnwanted(grant.dmabuf_fd);
  const { gref_count: count, gref_page_size: pageBytes } = grant;
  const who = `${request.name} ${device.path}`;
  checkPageSize(who, pageBytes);
  if (count < pages || count > revision.references) {
    throw new UnavailableError(
      `${who}: the driver gave ${count} grant references for ${pages} pages`,
    );
  }
  const references = Uint32Array.from({ length: count }, (_, i) => grant.gref_ids.get(i));
  const { references: room } = revision;
  const shared = { id, length: bytes, pageBytes, domain: grant.gref_domid, references, room };
  return { kind: "grants", ...shared };
}

/** The same, for a driver that certainly has the ioctls: what --share auto accepts. Throws UnavailableError. */
export function importIfMapping(device: IoctlDevice & Disposable): Importer {
  using owned = new DisposableStack();
  owned.use(device);
  if (!mapsHandles(device)) throw noIoctls(device);
  owned.move();
  return importVirtioMedia(device);
}

/** Imports handles with grant references through `device`, which it then owns. Throws UnavailableError. */
export function importVirtioMedia(device: IoctlDevice & Disposable): Importer {
  using owned = new DisposableStack();
  owned.use(device);
  const revision = demandRevision(device);
  const release = owned.move();
  return {
    name: named(revision),
    kind: "grants",
    import: (handle, { sizeimage }, passed) => {
      passed?.[Symbol.dispose]();
      if (handle.kind !== "grants")
        throw new ProtocolError(`handle ${handle.id}: not of kind grants`);
      const fd = importBuffer(device, revision, handle);
      return needed(
        () => mapForReading(fd, Math.min(handle.length, sizeimage)),
        () => "",
      );
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}

function importBuffer(
  device: IoctlDevice,
  revision: Revision,
  handle: Handle & { readonly kind: "grants" },
): Fd {
  const { request, references } = revision;
  const count = handle.references.length;
  checkPageSize(`handle ${handle.id}`, handle.pageBytes);
  checkDomain(`handle ${handle.id}: gref_domid`, handle.domain);
  if (count > references) {
    throw new UnavailableError(
      `handle ${handle.id}: ${count} grant references, ${device.path} takes ${references}; choose a smaller picture`,
    );
  }
  const wish = request.argument.alloc();
  wish.handle_id = handle.id;
  wish.flags = k.VIRTIO_MEDIA_DIRECT_GREFS;
  wish.gref_count = count;
  wish.gref_page_size = handle.pageBytes;
  wish.gref_domid = handle.domain;
  wish.len = BigInt(handle.length);
  wish.dmabuf_fd = -1;
  for (const [i, reference] of handle.references.entries()) wish.gref_ids.set(i, reference);
  call(device, request, wish);
  const who = `${request.name} ${device.path}`;
  if (wish.dmabuf_fd < 0) throw new UnavailableError(`${who}: the driver gave no dma-buf`);
  const fd = new Fd(wish.dmabuf_fd, `dma-buf of ${device.path}`);
  const size = endOf(fd.number);
  if (size >= 0 && size < handle.length) {
    fd[Symbol.dispose]();
    throw new UnavailableError(
      `${who}: the dma-buf has ${size} bytes, handle ${handle.id} has ${handle.length}`,
    );
  }
  return fd;
}

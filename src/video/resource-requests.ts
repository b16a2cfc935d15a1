// What drivers say about resources, checked: RESOURCE_CREATE with its entries, the sizes of RESOURCE_QUEUE.
import type { Struct } from "../../ffi/struct.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";
import { type Entry, MAX_ENTRIES, MAX_PLANE_BYTES, type Plane, Resource } from "./resource.ts";
import {
  MAX_PLANES,
  memEntry,
  PER_PLANE,
  resourceCreate,
  type resourceQueue,
  SINGLE_BUFFER,
  VideoError,
} from "./structs.ts";

function check(holds: boolean): void {
  if (!holds) throw new VideoError("ERR_INVALID_PARAMETER");
}

/** Makes a resource of a RESOURCE_CREATE, `bytes` being the whole request. Throws VideoError. */
export function createResource(
  q: Struct<typeof resourceCreate.fields>,
  bytes: Uint8Array<ArrayBuffer>,
  memory: GuestMemory,
  nonContiguous: boolean,
): Resource {
  const layout = q.planes_layout === 0 ? SINGLE_BUFFER : q.planes_layout; // a driver leaves it 0
  check(layout === SINGLE_BUFFER || layout === PER_PLANE);
  check(q.num_planes >= 1 && q.num_planes <= MAX_PLANES);
  const counts: number[] = [];
  let total = 0;
  for (let i = 0; i < q.num_planes; i++) {
    const count = q.num_entries.get(i);
    // In one buffer the first count stands for all of it.
    check(count >= 1 || (layout === SINGLE_BUFFER && i > 0));
    check(count <= MAX_ENTRIES && (nonContiguous || count <= 1));
    counts.push(count);
    total += count;
  }
  check(total <= MAX_ENTRIES && bytes.length >= resourceCreate.size + total * memEntry.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  const lengths: number[] = [];
  for (const count of counts) {
    let length = 0;
    for (let i = 0; i < count; i++) {
      const at = resourceCreate.size + entries.length * memEntry.size;
      const bytesOfEntry = view.getUint32(at + memEntry.fields.length.offset, true);
      check(bytesOfEntry > 0);
      length += bytesOfEntry;
      check(length <= MAX_PLANE_BYTES);
      entries.push({ address: view.getBigUint64(at, true), length: bytesOfEntry });
    }
    lengths.push(length);
  }
  const planes = layout === PER_PLANE ? perPlane(lengths) : singleBuffer(q, lengths);
  return new Resource(q.resource_id, entries, planes, memory);
}

function perPlane(lengths: readonly number[]): readonly Plane[] {
  let offset = 0;
  return lengths.map((length) => {
    offset += length;
    return { offset: offset - length, length };
  });
}

/** Planes located by offsets; each reaches up to the next one, or to the end. */
function singleBuffer(
  q: Struct<typeof resourceCreate.fields>,
  lengths: readonly number[],
): readonly Plane[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  check(total <= MAX_PLANE_BYTES);
  return lengths.map((_, i) => {
    const offset = q.plane_offsets.get(i);
    check(offset < total);
    const next = i + 1 < lengths.length ? q.plane_offsets.get(i + 1) : total;
    return { offset, length: (next > offset ? next : total) - offset };
  });
}

/** Takes over the sizes of a queued bitstream. Throws VideoError when they are larger than the resource. */
export function setDataSizes(resource: Resource, q: Struct<typeof resourceQueue.fields>): void {
  const count = q.num_data_sizes;
  for (let i = 0; i < MAX_PLANES; i++) {
    const size = i < count ? q.data_sizes.get(i) : 0;
    check(size <= (resource.planes[i]?.length ?? 0));
    resource.sizes[i] = size;
  }
}

// The commands about resources: RESOURCE_CREATE with its entries, RESOURCE_QUEUE, RESOURCE_DESTROY_ALL, QUEUE_CLEAR.
import type { Struct } from "../../ffi/struct.ts";
import type { GuestMemory } from "../virtio/virtio-device.ts";
import { type Command, command } from "./command.ts";
import { answerOk, refuseQueued } from "./replies.ts";
import { type Entry, MAX_ENTRIES, MAX_PLANE_BYTES, type Plane, Resource } from "./resource.ts";
import * as s from "./structs.ts";

/** Makes a resource from a RESOURCE_CREATE; `bytes` is the whole request. Throws VideoError. */
function createResource(
  q: Struct<typeof s.resourceCreate.fields>,
  bytes: Uint8Array<ArrayBuffer>,
  memory: GuestMemory,
  nonContiguous: boolean,
): Resource {
  const layout = q.planes_layout === 0 ? s.SINGLE_BUFFER : q.planes_layout; // some drivers leave it 0
  s.check(layout === s.SINGLE_BUFFER || layout === s.PER_PLANE);
  s.check(q.num_planes >= 1 && q.num_planes <= s.MAX_PLANES);
  const counts: number[] = [];
  let total = 0;
  for (let i = 0; i < q.num_planes; i++) {
    const count = q.num_entries.get(i);
    // With a single buffer the first count is for all planes.
    s.check(count >= 1 || (layout === s.SINGLE_BUFFER && i > 0));
    s.check(count <= MAX_ENTRIES && (nonContiguous || count <= 1));
    counts.push(count);
    total += count;
  }
  s.check(total <= MAX_ENTRIES && bytes.length >= s.resourceCreate.size + total * s.memEntry.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  const lengths: number[] = [];
  for (const count of counts) {
    let length = 0;
    for (let i = 0; i < count; i++) {
      const at = s.resourceCreate.size + entries.length * s.memEntry.size;
      const bytesOfEntry = view.getUint32(at + s.memEntry.fields.length.offset, true);
      s.check(bytesOfEntry > 0);
      length += bytesOfEntry;
      s.check(length <= MAX_PLANE_BYTES);
      entries.push({ address: view.getBigUint64(at, true), length: bytesOfEntry });
    }
    lengths.push(length);
  }
  const planes = layout === s.PER_PLANE ? perPlane(lengths) : singleBuffer(q, lengths);
  return new Resource(q.resource_id, entries, planes, memory);
}

function perPlane(lengths: readonly number[]): readonly Plane[] {
  let offset = 0;
  return lengths.map((length) => {
    offset += length;
    return { offset: offset - length, length };
  });
}

/** Planes located by offsets; each ends at the next one, or at the end of the buffer. */
function singleBuffer(
  q: Struct<typeof s.resourceCreate.fields>,
  lengths: readonly number[],
): readonly Plane[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  s.check(total <= MAX_PLANE_BYTES);
  return lengths.map((_, i) => {
    const offset = q.plane_offsets.get(i);
    s.check(offset < total);
    const next = i + 1 < lengths.length ? q.plane_offsets.get(i + 1) : total;
    return { offset, length: (next > offset ? next : total) - offset };
  });
}

/** Sets the sizes of a queued bitstream. Throws VideoError when they are larger than the resource. */
function setDataSizes(resource: Resource, q: Struct<typeof s.resourceQueue.fields>): void {
  const count = q.num_data_sizes;
  for (let i = 0; i < s.MAX_PLANES; i++) {
    const size = i < count ? q.data_sizes.get(i) : 0;
    s.check(size <= (resource.planes[i]?.length ?? 0));
    resource.sizes[i] = size;
  }
}

/** The rows. */
export const resourceCommands: readonly Command[] = [
  command({
    type: 0x0104,
    name: "RESOURCE_CREATE",
    request: s.resourceCreate,
    run(device, q, request) {
      const queue = s.queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      stream.queue(queue).checkNew(q.resource_id);
      s.check(stream.queue(queue).memoryType === s.GUEST_PAGES);
      const { memory, nonContiguous } = device;
      stream.queue(queue).add(createResource(q, request.bytes, memory, nonContiguous));
      answerOk(request, stream.id);
    },
  }),
  command({
    type: 0x0105,
    name: "RESOURCE_QUEUE",
    request: s.resourceQueue,
    refuse: refuseQueued,
    run(device, q, request) {
      const queue = s.queueType(q.queue_type);
      s.check(q.num_data_sizes <= s.MAX_PLANES);
      const stream = device.stream(q.stream_id);
      const resource = stream.queueable(queue, q.resource_id);
      if (queue === s.INPUT) setDataSizes(resource, q);
      resource.timestamp = q.timestamp;
      stream.queueResource(queue, resource, request);
    },
  }),
  command({
    type: 0x0106,
    name: "RESOURCE_DESTROY_ALL",
    request: s.queueCommand,
    run(device, q, request) {
      const queue = s.queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      stream.destroyResources(queue);
      answerOk(request, stream.id);
    },
  }),
  command({
    type: 0x0107,
    name: "QUEUE_CLEAR",
    request: s.queueCommand,
    run(device, q, request) {
      const queue = s.queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      stream.clear(queue);
      answerOk(request, stream.id);
    },
  }),
];

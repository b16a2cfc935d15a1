// The commands about resources: RESOURCE_CREATE with its entries, RESOURCE_QUEUE, RESOURCE_DESTROY_ALL, QUEUE_CLEAR.
import type { Struct } from "../../ffi/struct.ts";
import {
  GuestRanges,
  MAX_PLANE_BYTES,
  MAX_RANGES,
  measure,
  memEntry,
} from "../virtio/guest-ranges.ts";
import { type Command, type CommandDevice, command } from "./command.ts";

import { answerOk, refuseQueued } from "./replies.ts";
import { MAX_ENTRIES, type Plane, Resource } from "./resource.ts";
import type { Stream } from "./stream.ts";
import * as s from "./structs.ts";

/** Makes a resource from a RESOURCE_CREATE; `bytes` is the whole request, `free` the ranges it may have. Throws VideoError. */
function createResource(
  q: Struct<typeof s.resourceCreate.fields>,
  bytes: Uint8Array<ArrayBuffer>,
  { memory, nonContiguous, stretches }: CommandDevice,
  free: number,
): Resource {
  const layout = q.planes_layout === 0 ? s.SINGLE_BUFFER : q.planes_layout; // the Linux driver leaves it 0
  s.check(layout === s.SINGLE_BUFFER || layout === s.PER_PLANE, "no such layout of planes");
  s.check(q.num_planes >= 1 && q.num_planes <= s.MAX_PLANES, "not 1 to 8 planes");
  const counts: number[] = [];
  let total = 0;
  for (let i = 0; i < q.num_planes; i++) {
    const count = q.num_entries.get(i);
    // With a single buffer the first count is for all planes.
    s.check(count >= 1 || (layout === s.SINGLE_BUFFER && i > 0), "a plane has no ranges");
    s.check(nonContiguous || count <= 1, "more than one range a plane needs RESOURCE_NON_CONTIG");
    s.check(count <= MAX_ENTRIES, "a plane has more ranges than a request can hold");
    counts.push(count);
    total += count;
  }
  const needed = s.resourceCreate.size + total * memEntry.size;
  s.check(bytes.length >= needed, "the request is too short for its ranges");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const measured = measure(view, s.resourceCreate.size, counts);
  if (typeof measured === "string") throw new s.VideoError("ERR_INVALID_PARAMETER", measured);
  const { lengths, ranges } = measured;
  const planes = layout === s.PER_PLANE ? perPlane(lengths) : singleBuffer(q, lengths);
  if (ranges > free)
    throw new s.VideoError(
      "ERR_OUT_OF_MEMORY",
      `${ranges} ranges, and ${free} of ${MAX_RANGES} are left for this guest`,
    );
  const read = new GuestRanges(view, s.resourceCreate.size, total, measured);
  return new Resource({ id: q.resource_id, ranges: read, planes, memory, stretches });
}

/** Ranges that the resources of all streams have. */
function usedRanges(streams: Iterable<Stream>): number {
  let sum = 0;
  for (const stream of streams) sum += stream.queue(s.INPUT).ranges + stream.queue(s.OUTPUT).ranges;
  return sum;
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
  s.check(total <= MAX_PLANE_BYTES, "the buffer is longer than 256 MiB");
  return lengths.map((_, i) => {
    const offset = q.plane_offsets.get(i);
    s.check(offset < total, "a plane begins behind the end of the buffer");
    const next = i + 1 < lengths.length ? q.plane_offsets.get(i + 1) : total;
    return { offset, length: (next > offset ? next : total) - offset };
  });
}

/** Sets the sizes of a queued bitstream. Throws VideoError when they are larger than the resource. */
function setDataSizes(resource: Resource, q: Struct<typeof s.resourceQueue.fields>): void {
  const count = q.num_data_sizes;
  for (let i = 0; i < s.MAX_PLANES; i++) {
    const size = i < count ? q.data_sizes.get(i) : 0;
    s.check(size <= (resource.planes[i]?.length ?? 0), "more bytes than the resource has room for");
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
      const to = stream.queue(queue);
      const replaced = to.checkNew(q.resource_id);
      s.check(to.memoryType === s.GUEST_PAGES, "the queue has virtio objects, not guest pages");
      const free = MAX_RANGES - usedRanges(device.streams.values()) + (replaced?.ranges ?? 0);
      stream.addResource(queue, createResource(q, request.bytes, device, free));
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
      s.check(q.num_data_sizes <= s.MAX_PLANES, "more than 8 sizes");
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

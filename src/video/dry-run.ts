// The commands with which the process of a front-end warms up: a stream of the codec that decodes nothing, with tiny pictures.
import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import { memEntry } from "../virtio/guest-ranges.ts";
import { openNull } from "./codec/null.ts";
import { commands } from "./commands.ts";
import { FWHT, YUV420 } from "./formats.ts";
import * as s from "./structs.ts";
import { createVideoDevice } from "./video-device.ts";

const STREAM = 1;
/** Width and height of its pictures. */
const SIDE = 16;
/** Bytes of a resource. */
const LENGTH = 4096;
const RESOURCE = { [s.INPUT]: 1, [s.OUTPUT]: 2 } as const;

/** The number of a command, by its row. */
function typeOf(name: string): number {
  for (const row of commands.values()) if (row.name === name) return row.type;
  throw new Error(`the table of commands has no ${name}`);
}

function command<F extends Fields>(
  name: string,
  struct: StructType<F>,
  fill: (q: Struct<F>) => void = () => undefined,
): Uint8Array {
  const q = struct.alloc();
  fill(q);
  const header = s.cmdHeader.over(q.$bytes);
  header.type = typeOf(name);
  header.stream_id = STREAM;
  return q.$bytes;
}

const setSize = (queue: s.QueueType, format: number) =>
  command("SET_PARAMS_EXT", s.extParams, (q) => {
    q.queue_type = queue;
    q.format = format;
    q.frame_width = SIDE;
    q.frame_height = SIDE;
    q.num_planes = 1;
  });

function makeResource(queue: s.QueueType, address: number): Uint8Array {
  const fixed = command("RESOURCE_CREATE", s.resourceCreate, (q) => {
    q.queue_type = queue;
    q.resource_id = RESOURCE[queue];
    q.planes_layout = 1;
    q.num_planes = 1;
    q.num_entries.set(0, 1);
  });
  const bytes = new Uint8Array(new ArrayBuffer(fixed.length + memEntry.size));
  bytes.set(fixed);
  const entry = memEntry.over(bytes, fixed.length);
  entry.addr = BigInt(address);
  entry.length = LENGTH;
  return bytes;
}

const queueResource = (queue: s.QueueType) =>
  command("RESOURCE_QUEUE", s.resourceQueue, (q) => {
    q.queue_type = queue;
    q.resource_id = RESOURCE[queue];
    q.num_data_sizes = 1;
    q.data_sizes.set(0, LENGTH);
  });

const ofQueue = (name: string, queue: s.QueueType) =>
  command(name, s.queueCommand, (q) => {
    q.queue_type = queue;
  });

/** Commands for a device of its own, which has the guest memory from `address` on. */
export function dryCommands(address: number) {
  const backend = openNull();
  return {
    makeDevice: () => createVideoDevice({ backend, maxStreams: 1 }),
    opening: [
      command("STREAM_CREATE", s.streamCreate, (q) => {
        q.coded_format = FWHT;
      }),
      setSize(s.OUTPUT, YUV420),
      setSize(s.INPUT, FWHT),
      makeResource(s.INPUT, address),
      makeResource(s.OUTPUT, address + LENGTH),
    ],
    batches: [
      [ofQueue("GET_PARAMS_EXT", s.OUTPUT)],
      [queueResource(s.OUTPUT), queueResource(s.INPUT)],
      [ofQueue("GET_PARAMS_EXT", s.INPUT)],
      [ofQueue("QUEUE_CLEAR", s.INPUT)],
    ],
  } as const;
}

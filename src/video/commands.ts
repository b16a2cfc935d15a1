// The commands of the command queue, one row each: number, name, request, what it does. Draft v3, "Device operation";
// the EXT pair is from the AOSP header. A row throws VideoError to refuse; dispatch and length check are device.ts'.
import { SysError } from "../../ffi/errno.ts";
import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import { log } from "../cli/log.ts";
import type { Request } from "../virtio/virtio-device.ts";
import { videoFormat } from "./formats.ts";
import {
  answerCode,
  answerControl,
  answerOk,
  answerParams,
  answerValues,
  refuseQueued,
} from "./replies.ts";
import { createResource, setDataSizes } from "./resource-requests.ts";
import { Stream } from "./stream.ts";
import * as s from "./structs.ts";
import type { VideoDevice } from "./video-device.ts";

export interface Command {
  readonly type: number;
  readonly name: string;
  readonly request: StructType<Fields>;
  /** Answers `request` now or keeps it; `q` is its fixed part and only valid during the call. */
  run(device: VideoDevice, q: unknown, request: Request): void;
  /** How it is refused; the error code in a header unless said otherwise. */
  readonly refuse?: (request: Request, stream: number, code: number) => void;
}

function command<F extends Fields>(row: {
  readonly type: number;
  readonly name: string;
  readonly request: StructType<F>;
  run(device: VideoDevice, q: Struct<F>, request: Request): void;
  readonly refuse?: Command["refuse"];
}): Command {
  return row as unknown as Command; // the device gives each row a `q` of its own struct
}

/** A queue type of a driver. Throws VideoError. */
function queueType(value: number): s.QueueType {
  if (value !== s.INPUT && value !== s.OUTPUT) throw new s.VideoError("ERR_INVALID_PARAMETER");
  return value;
}

function memoryType(value: number): number {
  if (value !== s.GUEST_PAGES && value !== s.VIRTIO_OBJECT)
    throw new s.VideoError("ERR_INVALID_PARAMETER");
  return value;
}

/** GET_PARAMS in both dialects. */
function getParams(type: number, name: string, ext: boolean): Command {
  return command({
    type,
    name,
    request: s.queueCommand,
    run(device, q, request) {
      const queue = queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      const kind = ext ? stream.memoryType(queue) : undefined;
      answerParams(request, stream.id, queue, stream.params(queue), kind);
      stream.parametersRead(queue);
    },
  });
}

/** SET_PARAMS in both dialects; only the EXT one has a memory type. */
function setParams<F extends (typeof s.plainParams)["fields"]>(
  type: number,
  name: string,
  request: StructType<F>,
  memoryTypeOf: (q: Struct<F>) => number | undefined,
): Command {
  return command({
    type,
    name,
    request,
    run(device, body, request) {
      const q = body as unknown as Struct<(typeof s.plainParams)["fields"]>;
      const queue = queueType(q.queue_type);
      if (q.num_planes > s.MAX_PLANES) throw new s.VideoError("ERR_INVALID_PARAMETER");
      const kind = memoryTypeOf(body);
      if (kind !== undefined) memoryType(kind);
      const { input, output } = device.backend.capabilities;
      // Format 0 keeps the one there is: some programs set nothing but a size.
      const known = queue === s.INPUT ? input : output;
      if (q.format !== 0 && !known.some(({ format }) => format === q.format))
        throw new s.VideoError("ERR_INVALID_PARAMETER");
      const stream = device.stream(q.stream_id);
      if (kind !== undefined) stream.setMemoryType(queue, kind);
      stream.configure(queue, {
        format: q.format,
        width: q.frame_width,
        height: q.frame_height,
        planeSize: q.num_planes > 0 ? q["plane_formats[0].plane_size"] : 0,
      });
      answerOk(request, stream.id);
    },
  });
}

const rows: readonly Command[] = [
  command({
    type: 0x0100,
    name: "QUERY_CAPABILITY",
    request: s.queryCapability,
    run(device, q, request) {
      const answer = device.capability[queueType(q.queue_type)];
      new DataView(answer.buffer, answer.byteOffset).setUint32(4, q.stream_id, true);
      request.answer(answer);
    },
  }),
  command({
    type: 0x0101,
    name: "STREAM_CREATE",
    request: s.streamCreate,
    run(device, q, request) {
      const id = q.stream_id;
      const inMemoryType = memoryType(q.in_mem_type);
      const outMemoryType = memoryType(q.out_mem_type);
      const format = q.coded_format;
      const { backend, loop } = device;
      if (!backend.capabilities.input.some((row) => row.format === format))
        throw new s.VideoError("ERR_INVALID_PARAMETER");
      if (device.streams.has(id)) throw new s.VideoError("ERR_INVALID_STREAM_ID");
      if (device.streams.size >= device.maxStreams) throw new s.VideoError("ERR_OUT_OF_MEMORY");
      try {
        const stream = new Stream({
          id,
          inMemoryType,
          outMemoryType,
          events: device.events,
          open: (client) => backend.open(loop, format, client),
        });
        device.streams.set(id, stream);
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        log.withTag("video").warn(`stream ${id}: ${error.message}; it was refused`);
        throw new s.VideoError("ERR_OUT_OF_MEMORY");
      }
      answerOk(request, id);
    },
  }),
  command({
    type: 0x0102,
    name: "STREAM_DESTROY",
    request: s.cmdHeader,
    run(device, q, request) {
      const stream = device.stream(q.stream_id);
      device.streams.delete(stream.id);
      stream.destroy();
      answerOk(request, stream.id);
    },
  }),
  command({
    type: 0x0103,
    name: "STREAM_DRAIN",
    request: s.cmdHeader,
    run(device, q, request) {
      device.stream(q.stream_id).drain(request);
    },
  }),
  command({
    type: 0x0104,
    name: "RESOURCE_CREATE",
    request: s.resourceCreate,
    run(device, q, request) {
      const queue = queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      stream.checkNew(queue, q.resource_id);
      if (stream.memoryType(queue) !== s.GUEST_PAGES)
        throw new s.VideoError("ERR_INVALID_PARAMETER");
      stream.add(queue, createResource(q, request.bytes, device.memory, device.nonContiguous));
      answerOk(request, stream.id);
    },
  }),
  command({
    type: 0x0105,
    name: "RESOURCE_QUEUE",
    request: s.resourceQueue,
    refuse: refuseQueued,
    run(device, q, request) {
      const queue = queueType(q.queue_type);
      if (q.num_data_sizes > s.MAX_PLANES) throw new s.VideoError("ERR_INVALID_PARAMETER");
      const stream = device.stream(q.stream_id);
      const resource = stream.queueable(queue, q.resource_id);
      if (queue === s.INPUT) setDataSizes(resource, q);
      resource.timestamp = q.timestamp;
      stream.queue(queue, resource, request);
    },
  }),
  command({
    type: 0x0106,
    name: "RESOURCE_DESTROY_ALL",
    request: s.queueCommand,
    run(device, q, request) {
      const queue = queueType(q.queue_type);
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
      const queue = queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      stream.clear(queue);
      answerOk(request, stream.id);
    },
  }),
  getParams(0x0108, "GET_PARAMS", false),
  setParams(0x0109, "SET_PARAMS", s.plainParams, () => undefined),
  command({
    type: 0x010a,
    name: "QUERY_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      // Profile and level are asked for a format, which only the longer form has.
      const { size, fields } = s.queryControlFormat;
      const long = request.bytes.length >= size;
      const view = new DataView(request.bytes.buffer, request.bytes.byteOffset);
      const format = long ? view.getUint32(fields.format.offset, true) : 0;
      if (format !== 0 && videoFormat(format) === undefined)
        throw new s.VideoError("ERR_INVALID_PARAMETER");
      const values = device.backend.controlValues(q.control, format);
      if (values === undefined) throw new s.VideoError("ERR_UNSUPPORTED_CONTROL");
      answerValues(request, values);
    },
  }),
  command({
    type: 0x010b,
    name: "GET_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      const value = device.stream(q.stream_id).control(q.control);
      if (value === undefined) answerCode(request, q.stream_id, s.response.ERR_UNSUPPORTED_CONTROL);
      else answerControl(request, q.stream_id, value);
    },
  }),
  command({
    type: 0x010c,
    name: "SET_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      const stream = device.stream(q.stream_id);
      const { size, fields } = s.setControl;
      // The only control without a value; encoders have it.
      if (q.control === s.control.FORCE_KEYFRAME) throw new s.VideoError("ERR_UNSUPPORTED_CONTROL");
      if (request.bytes.length < size) throw new s.VideoError("ERR_INVALID_PARAMETER");
      const view = new DataView(request.bytes.buffer, request.bytes.byteOffset);
      const value = view.getUint32(fields.value.offset, true);
      if (!stream.setControl(q.control, value)) throw new s.VideoError("ERR_UNSUPPORTED_CONTROL");
      answerOk(request, stream.id);
    },
  }),
  getParams(0x010d, "GET_PARAMS_EXT", true),
  setParams(0x010e, "SET_PARAMS_EXT", s.extParams, (q) => q.resource_type),
];

/** The rows by their number. */
export const commands: ReadonlyMap<number, Command> = new Map(rows.map((row) => [row.type, row]));

// GET_PARAMS and SET_PARAMS, in the dialect of the draft and in that of the AOSP header (EXT), which has a memory type.
import type { Struct, StructType } from "../../ffi/struct.ts";
import type { Request } from "../virtio/virtio-device.ts";
import type { QueueParams } from "./codec/codec.ts";
import { type Command, command } from "./command.ts";
import { answerOk } from "./replies.ts";
import * as s from "./structs.ts";

/** One answer for both dialects: the EXT answer is the plain one with a field more at its end. */
const extAnswer = s.extParams.alloc();
const plainAnswer = s.plainParams.over(extAnswer.$bytes);

/** The parameters of a queue, in the dialect of the command that asked. */
function answerParams(
  request: Request,
  stream: number,
  queue: s.QueueType,
  params: QueueParams,
  resourceType: number | undefined,
): void {
  const p = plainAnswer;
  p.type = s.response.OK_GET_PARAMS;
  p.stream_id = stream;
  p.queue_type = queue;
  p.format = params.format;
  p.frame_width = params.width;
  p.frame_height = params.height;
  p.min_buffers = params.minBuffers;
  p.max_buffers = params.maxBuffers;
  p["crop.left"] = params.crop.left;
  p["crop.top"] = params.crop.top;
  p["crop.width"] = params.crop.width;
  p["crop.height"] = params.crop.height;
  // One plane for every format: drivers lose the entries of further memory planes.
  p.num_planes = 1;
  p["plane_formats[0].plane_size"] = params.planeSize;
  p["plane_formats[0].stride"] = params.stride;
  if (resourceType === undefined) {
    request.answer(plainAnswer.$bytes);
    return;
  }
  extAnswer.resource_type = resourceType;
  request.answer(extAnswer.$bytes);
}

/** GET_PARAMS in both dialects. */
function getParams(type: number, name: string, ext: boolean): Command {
  return command({
    type,
    name,
    request: s.queueCommand,
    run(device, q, request) {
      const queue = s.queueType(q.queue_type);
      const stream = device.stream(q.stream_id);
      const kind = ext ? stream.queue(queue).memoryType : undefined;
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
      const queue = s.queueType(q.queue_type);
      s.check(q.num_planes <= s.MAX_PLANES, "more than 8 planes");
      const kind = memoryTypeOf(body);
      if (kind !== undefined) s.memoryType(kind);
      const { input, output } = device.backend.capabilities;
      // Format 0 keeps the format: some programs set only a size.
      const known = queue === s.INPUT ? input : output;
      s.check(
        q.format === 0 || known.some(({ format }) => format === q.format),
        "the decoder does not have this format",
      );
      const stream = device.stream(q.stream_id);
      if (kind !== undefined) stream.queue(queue).memoryType = kind;
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

/** The rows. */
export const paramsCommands: readonly Command[] = [
  getParams(0x0108, "GET_PARAMS", false),
  setParams(0x0109, "SET_PARAMS", s.plainParams, () => undefined),
  getParams(0x010d, "GET_PARAMS_EXT", true),
  setParams(0x010e, "SET_PARAMS_EXT", s.extParams, (q) => q.resource_type),
];

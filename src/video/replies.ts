// Answers to commands, each written into memory that is kept: nothing is made per command.
import type { Request } from "../virtio/virtio-device.ts";
import type { QueueParams } from "./codec/codec.ts";
import {
  BUFFER_ERR,
  cmdHeader,
  controlResponse,
  extParams,
  listResponse,
  plainParams,
  type QueueType,
  queuedResponse,
  response,
} from "./structs.ts";

const header = cmdHeader.alloc();
const queuedAnswer = queuedResponse.alloc();
const value = controlResponse.alloc();
/** The parameters in both dialects, one over the other: the EXT one only has more at its end. */
const extAnswer = extParams.alloc();
const plainAnswer = plainParams.over(extAnswer.$bytes);

/** An answer that is its header: success, or an error. */
export function answerCode(request: Request, stream: number, code: number): void {
  header.type = code;
  header.stream_id = stream;
  request.answer(header.$bytes);
}

export function answerOk(request: Request, stream: number): void {
  answerCode(request, stream, response.OK_NODATA);
}

/** The end of a RESOURCE_QUEUE: `flags` BUFFER_*, `size` bytes in the buffer. */
export function answerQueued(
  request: Request,
  stream: number,
  timestamp: bigint,
  flags: number,
  size: number,
): void {
  queuedAnswer.type = response.OK_RESOURCE_QUEUE;
  queuedAnswer.stream_id = stream;
  queuedAnswer.timestamp = timestamp;
  queuedAnswer.flags = flags;
  queuedAnswer.size = size;
  request.answer(queuedAnswer.$bytes);
}

/** A refused RESOURCE_QUEUE. Drivers look at the flag and not at the code, so it gets its whole body. */
export function refuseQueued(request: Request, stream: number, code: number): void {
  queuedAnswer.type = code;
  queuedAnswer.stream_id = stream;
  queuedAnswer.timestamp = 0n;
  queuedAnswer.flags = BUFFER_ERR;
  queuedAnswer.size = 0;
  request.answer(queuedAnswer.$bytes);
}

export function answerControl(request: Request, stream: number, number: number): void {
  value.type = response.OK_GET_CONTROL;
  value.stream_id = stream;
  value.value = number;
  request.answer(value.$bytes);
}

/** The parameters of a queue, in the dialect of the command that asked. */
export function answerParams(
  request: Request,
  stream: number,
  queue: QueueType,
  params: QueueParams,
  resourceType: number | undefined,
): void {
  const p = plainAnswer;
  p.type = response.OK_GET_PARAMS;
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
  // One plane whatever the format: drivers with several memory planes lose their entries.
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

/** The values a control can have. */
export function answerValues(request: Request, values: readonly number[]): void {
  const bytes = new Uint8Array(new ArrayBuffer(listResponse.size + 4 * values.length));
  const head = listResponse.over(bytes);
  head.type = response.OK_QUERY_CONTROL;
  head.num = values.length;
  const view = new DataView(bytes.buffer);
  for (const [i, v] of values.entries()) view.setUint32(listResponse.size + 4 * i, v, true);
  request.answer(bytes);
}

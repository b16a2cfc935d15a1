// Answers that several commands give. Each is written into memory that is reused: an answer allocates nothing.
import type { Request } from "../virtio/virtio-device.ts";
import { BUFFER_ERR, cmdHeader, queuedResponse, response } from "./structs.ts";

const header = cmdHeader.alloc();
const queuedAnswer = queuedResponse.alloc();

/** An answer of a header only: success, or an error. */
export function answerCode(request: Request, stream: number, code: number): void {
  header.type = code;
  header.stream_id = stream;
  request.answer(header.$bytes);
}

export function answerOk(request: Request, stream: number): void {
  answerCode(request, stream, response.OK_NODATA);
}

/** The answer to a RESOURCE_QUEUE: `flags` are BUFFER_*, `size` is bytes in the buffer. */
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

/** Refuses a RESOURCE_QUEUE with a complete body, because drivers check the ERR flag in it and not the code. */
export function refuseQueued(request: Request, stream: number, code: number): void {
  queuedAnswer.type = code;
  queuedAnswer.stream_id = stream;
  queuedAnswer.timestamp = 0n;
  queuedAnswer.flags = BUFFER_ERR;
  queuedAnswer.size = 0;
  request.answer(queuedAnswer.$bytes);
}

// QUERY_CONTROL, GET_CONTROL and SET_CONTROL.
import type { Request } from "../virtio/virtio-device.ts";
import { type Command, command } from "./command.ts";
import { videoFormat } from "./formats.ts";
import { answerOk } from "./replies.ts";
import * as s from "./structs.ts";

const value = s.controlResponse.alloc();

function answerControl(request: Request, stream: number, number: number): void {
  value.type = s.response.OK_GET_CONTROL;
  value.stream_id = stream;
  value.value = number;
  request.answer(value.$bytes);
}

/** The values a control can have. */
function answerValues(request: Request, values: readonly number[]): void {
  const bytes = new Uint8Array(new ArrayBuffer(s.listResponse.size + 4 * values.length));
  const head = s.listResponse.over(bytes);
  head.type = s.response.OK_QUERY_CONTROL;
  head.num = values.length;
  const view = new DataView(bytes.buffer);
  for (const [i, v] of values.entries()) view.setUint32(s.listResponse.size + 4 * i, v, true);
  request.answer(bytes);
}

const unsupported = (control: number, more = "") =>
  new s.VideoError("ERR_UNSUPPORTED_CONTROL", `the decoder has no control ${control}${more}`);

/** The rows. */
export const controlCommands: readonly Command[] = [
  command({
    type: 0x010a,
    name: "QUERY_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      // Queries of profile and level have a longer form with a format.
      const { size, fields } = s.queryControlFormat;
      const long = request.bytes.length >= size;
      const view = new DataView(request.bytes.buffer, request.bytes.byteOffset);
      const format = long ? view.getUint32(fields.format.offset, true) : 0;
      s.check(format === 0 || videoFormat(format) !== undefined, "no such format");
      const values = device.backend.controlValues(q.control, format);
      if (values === undefined) throw unsupported(q.control);
      answerValues(request, values);
    },
  }),
  command({
    type: 0x010b,
    name: "GET_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      const value = device.stream(q.stream_id).control(q.control);
      if (value === undefined) throw unsupported(q.control);
      answerControl(request, q.stream_id, value);
    },
  }),
  command({
    type: 0x010c,
    name: "SET_CONTROL",
    request: s.controlCommand,
    run(device, q, request) {
      const stream = device.stream(q.stream_id);
      const { size, fields } = s.setControl;
      // The only control without a value; only encoders have it.
      if (q.control === s.control.FORCE_KEYFRAME) throw unsupported(q.control);
      s.check(request.bytes.length >= size, "the request is too short for a value");
      const view = new DataView(request.bytes.buffer, request.bytes.byteOffset);
      const value = view.getUint32(fields.value.offset, true);
      if (!stream.setControl(q.control, value)) throw unsupported(q.control, ` or not ${value}`);
      answerOk(request, stream.id);
    },
  }),
];

// The commands of the command queue, one row each: number, name, request, what it does. Draft v3, "Device operation";
// the EXT pair is from the AOSP header.
import { SysError } from "../../ffi/errno.ts";
import { type Command, command } from "./command.ts";
import { controlCommands } from "./control-commands.ts";
import { paramsCommands } from "./params-commands.ts";
import { answerOk } from "./replies.ts";
import { resourceCommands } from "./resource-commands.ts";
import { Stream } from "./stream.ts";
import * as s from "./structs.ts";

const streamCommands: readonly Command[] = [
  command({
    type: 0x0100,
    name: "QUERY_CAPABILITY",
    request: s.queryCapability,
    run(device, q, request) {
      const answer = device.capability[s.queueType(q.queue_type)];
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
      const inMemoryType = s.memoryType(q.in_mem_type);
      const outMemoryType = s.memoryType(q.out_mem_type);
      const format = q.coded_format;
      const { backend, loop } = device;
      s.check(
        backend.capabilities.input.some((row) => row.format === format),
        "the decoder does not have this format",
      );
      if (device.streams.has(id))
        throw new s.VideoError("ERR_INVALID_STREAM_ID", "there is a stream of that number");
      if (device.streams.size >= device.maxStreams)
        throw new s.VideoError(
          "ERR_OUT_OF_MEMORY",
          `the guest has ${device.streams.size} streams, as many as --max-streams allows`,
        );
      try {
        const stream = new Stream({
          id,
          inMemoryType,
          outMemoryType,
          events: device.events,
          open: (client) => backend.open(loop, format, client),
          ended: (reason) => device.faults.streamEnded(id, reason),
        });
        device.streams.set(id, stream);
      } catch (error) {
        if (!(error instanceof SysError)) throw error;
        throw new s.VideoError("ERR_OUT_OF_MEMORY", error.message);
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
];

const rows = [...streamCommands, ...resourceCommands, ...paramsCommands, ...controlCommands];

/** The rows by their number. */
export const commands: ReadonlyMap<number, Command> = new Map(rows.map((row) => [row.type, row]));

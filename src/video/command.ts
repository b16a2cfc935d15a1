// What a command is, and what it may use of the device. commands.ts has the rows, video-device.ts finds and runs them.
import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import type { DeviceLoop, GuestMemory, Request } from "../virtio/virtio-device.ts";
import type { CodecBackend } from "./codec/codec.ts";
import type { Events } from "./events.ts";
import type { GuestFaults } from "./guest-faults.ts";
import type { Stream } from "./stream.ts";
import type { Stretches } from "./stretches.ts";
import type * as s from "./structs.ts";

/** The device, as commands see it. */
export interface CommandDevice {
  readonly backend: CodecBackend;
  readonly maxStreams: number;
  readonly streams: Map<number, Stream>;
  readonly events: Events;
  readonly faults: GuestFaults;
  /** The answers to QUERY_CAPABILITY. */
  readonly capability: Readonly<Record<s.QueueType, Uint8Array<ArrayBuffer>>>;
  /** Whether a plane may consist of several entries. */
  readonly nonContiguous: boolean;
  readonly memory: GuestMemory;
  readonly stretches: Stretches;
  readonly loop: DeviceLoop;
  /** The stream of that number. Throws VideoError. */
  stream(id: number): Stream;
}

export interface Command {
  readonly type: number;
  readonly name: string;
  readonly request: StructType<Fields>;
  /**
   * Answers `request` now or keeps it. `q` is its fixed part and only valid during the call; a shorter request was refused
   * before. Throws VideoError to refuse.
   */
  run(device: CommandDevice, q: unknown, request: Request): void;
  /** Answers a refusal; without it the answer is a header with the error code. */
  readonly refuse?: (request: Request, stream: number, code: number) => void;
}

/** Makes a row whose `run` gets `q` as its own struct. */
export function command<F extends Fields>(row: {
  readonly type: number;
  readonly name: string;
  readonly request: StructType<F>;
  run(device: CommandDevice, q: Struct<F>, request: Request): void;
  readonly refuse?: Command["refuse"];
}): Command {
  return row as unknown as Command; // the device makes each `q` with the struct of its row
}

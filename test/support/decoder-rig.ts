// A driver at the V4L2 decoder back-end on a fake device: one stream with buffers of 64x48 pictures, nothing queued.
import { decoderOn } from "../../src/video/codec/v4l2-decoder.ts";
import type { Stretches } from "../../src/video/stretches.ts";
import * as s from "../../src/video/structs.ts";
import { FakeDecoder, type FakeOptions } from "./fake-decoder.ts";
import { fwhtFrame } from "./fwht.ts";
import { type LocalDriver, localDriver, type Sent } from "./video-driver.ts";

export const W = 64;
export const H = 48;
export const PICTURE = (W * H * 3) / 2;
export const BITSTREAM = W * H * 3;

export interface Rig extends Disposable {
  readonly driver: LocalDriver;
  readonly fake: FakeDecoder;
  /** Where the first pieces are. */
  readonly inputs: bigint[];
  readonly outputs: bigint[];
}

export interface RigOptions {
  /** Pieces of each resource, 64 bytes apart. */
  readonly pieces?: number;
  readonly stretches?: Stretches;
}

const PAGE = 4096;

/** Entries of single pages, from the last to the first, with a page between two. */
export function scatter(driver: LocalDriver, bytes: number): { address: bigint; length: number }[] {
  const count = Math.ceil(bytes / PAGE);
  const at = driver.allocate(2 * count * PAGE);
  return Array.from({ length: count }, (_, i) => ({
    address: at + BigInt(2 * (count - 1 - i) * PAGE),
    length: PAGE,
  }));
}

/** The first `length` bytes of a resource of these entries. */
export function gather(
  { memory }: LocalDriver,
  entries: readonly { readonly address: bigint; readonly length: number }[],
  length: number,
): Uint8Array {
  return Buffer.concat(entries.map((e) => memory.bytes(e.address, e.length))).subarray(0, length);
}

/** Stream 1 with inputs 1 to 4 and outputs 11 to 16 of a page-rounded size; nothing queued. */
export function rig(options: FakeOptions = {}, { pieces = 1, stretches }: RigOptions = {}): Rig {
  const fake = new FakeDecoder(options);
  const backend = decoderOn(fake.open(), () => fake.open());
  const driver = localDriver(backend, { watcher: fake.watcher, ...(stretches && { stretches }) });
  driver.create(1);
  driver.setParams(1, s.OUTPUT, { format: 4, width: W, height: H });
  driver.setParams(1, s.INPUT, { format: 0x1006, width: W, height: H });
  const make = (queue: number, id: number, bytes: number) => {
    const length = Math.ceil(bytes / 4096) * 4096;
    const at = driver.allocate(length + 4096 * pieces);
    const each = length / pieces;
    // With gaps between its pieces, the resource is not contiguous.
    const entries = Array.from({ length: pieces }, (_, i) => ({
      address: at + BigInt(i * (each + (pieces > 1 ? 64 : 0))),
      length: each,
    }));
    driver.resource(1, queue, id, [entries]);
    return at;
  };
  const inputs = [1, 2, 3, 4].map((id) => make(s.INPUT, id, BITSTREAM));
  const outputs = [11, 12, 13, 14, 15, 16].map((id) => make(s.OUTPUT, id, PICTURE));
  return {
    driver,
    fake,
    inputs,
    outputs,
    [Symbol.dispose]() {
      driver[Symbol.dispose]();
      backend[Symbol.dispose]();
    },
  };
}

export function frame(value: number, width = W, height = H, body = 50): Uint8Array<ArrayBuffer> {
  const bytes = fwhtFrame(width, height, body);
  bytes.fill(value, 44);
  return bytes;
}

/** Writes the bitstream into input `id` and queues it. */
export function feed(r: Rig, id: number, bytes: Uint8Array, ts: bigint): Sent {
  const at = r.inputs[id - 1] ?? 0n;
  r.driver.memory.bytes(at, bytes.length).set(bytes);
  const sent = r.driver.queue(1, s.INPUT, id, [bytes.length], ts);
  r.fake.settle();
  return sent;
}
export function want(r: Rig, id: number): Sent {
  const sent = r.driver.queue(1, s.OUTPUT, id);
  r.fake.settle();
  return sent;
}
export function readParams(r: Rig) {
  r.driver.params(1, s.INPUT);
  const params = r.driver.params(1, s.OUTPUT);
  r.fake.settle();
  return params;
}
export function shown(r: Rig, id: number): number[] {
  const bytes = r.driver.memory.bytes(r.outputs[id - 11] ?? 0n, PICTURE);
  const ok = bytes.every((byte, i) => byte === (((bytes[0] ?? 0) + i) & 0xff));
  return ok ? [bytes[0] ?? -1] : [-1];
}

// The rings stop while a decoder works: from then on no byte of guest memory may change, whoever writes it, until they run
// again. No picture is lost and none comes twice. The fake decoder finishes its pictures late, as drivers of hardware do.

import { describe, expect, test } from "bun:test";
import { errno } from "../../../ffi/errno.ts";
import * as s from "../../../src/video/structs.ts";
import { memEntry } from "../../../src/virtio/guest-ranges.ts";
import { ClipPlayer, timeOf } from "../../support/clip-player.ts";
import {
  feed,
  frame,
  H,
  PICTURE,
  type Rig,
  readParams,
  rig,
  shown,
  W,
  want,
} from "../../support/decoder-rig.ts";
import type { FakeOptions } from "../../support/fake-decoder.ts";
import { withVideo } from "../../support/vhost/video-guest.ts";
import { BASE, type Sent } from "../../support/video-driver.ts";

const MEMORY = 8 * 1024 * 1024;
const late = "finishes";
const variants: [string, FakeOptions][] = [
  ["USERPTR", { late, userPointers: true }],
  ["USERPTR, multi-planar", { late, userPointers: true, multiplanar: true }],
  ["USERPTR, START forgotten", { late, userPointers: true, forgetsStart: true }],
  ["USERPTR, decodes inside QBUF", { userPointers: true }],
  ["MMAP", { late }],
  ["MMAP, multi-planar", { late, multiplanar: true }],
  ["MMAP, START forgotten", { late, forgetsStart: true }],
];

const snapshot = ({ driver }: Rig) => driver.memory.bytes(BASE, MEMORY).slice();

/** The decoder works until it has nothing to do. */
function work({ fake }: Rig): void {
  fake.settle();
  while (fake.finishLate()) fake.settle();
}

/** The rings stop. Time passes, the decoder does what it can: throws when that changes guest memory. */
function stop(r: Rig): void {
  r.driver.device.pause();
  const before = snapshot(r);
  const { length } = r.driver.answered;
  work(r);
  if (Buffer.compare(before, snapshot(r)) !== 0) throw new Error("guest memory was written");
  expect(r.driver.answered.length).toBe(length);
}
function resume(r: Rig): void {
  r.driver.device.resume();
  work(r);
}
const ids = [11, 12, 13, 14, 15, 16];

/** A stream that has shown its first picture, with `count` picture buffers queued. */
function running(options: FakeOptions, count = 4): { r: Rig; outs: Sent[] } {
  const r = rig(options);
  feed(r, 1, frame(1), 1n);
  readParams(r);
  const outs = ids.slice(0, count).map((id) => want(r, id));
  work(r);
  expect(outs[0]?.timestamp).toBe(1n);
  return { r, outs };
}

describe.each(variants)("%s", (_, options) => {
  test("a picture in work when the rings stop: nothing is written afterwards, and it comes once", () => {
    const { r, outs } = running(options);
    using _r = r;
    feed(r, 2, Buffer.concat([frame(2), frame(3)]), 2n);
    stop(r);
    resume(r);
    expect(outs.map(({ held }) => held)).toEqual([false, false, false, true]);
    expect(outs.slice(0, 3).map(({ timestamp, size }) => [timestamp, size])).toEqual([
      [1n, PICTURE],
      [2n, PICTURE],
      [2n, PICTURE],
    ]);
    const pictures = [11, 12, 13].flatMap((id) => shown(r, id));
    expect(pictures).toEqual([1, 2, 3]);
    feed(r, 3, frame(4), 4n);
    work(r);
    expect([outs[3]?.timestamp, shown(r, 14)]).toEqual([4n, [4]]);
  });

  test("more bitstream than picture buffers when the rings stop: the rest comes afterwards", () => {
    const { r, outs } = running(options, 2);
    using _r = r;
    feed(r, 2, Buffer.concat([frame(2), frame(3), frame(4), frame(5)]), 2n);
    stop(r);
    resume(r);
    expect(outs[1]?.timestamp).toBe(2n);
    const rest = [want(r, 13), want(r, 14), want(r, 15)];
    work(r);
    expect(rest.map(({ held }) => held)).toEqual([false, false, false]);
    expect([12, 13, 14, 15].flatMap((id) => shown(r, id))).toEqual([2, 3, 4, 5]);
  });

  test("a drain that is pending when the rings stop ends afterwards: pictures, one EOS, the answer", () => {
    const { r, outs } = running(options, 5);
    using _r = r;
    feed(r, 2, Buffer.concat([frame(2), frame(3)]), 2n);
    const drain = r.driver.drain(1);
    stop(r);
    resume(r);
    expect(outs.slice(0, 4).map((out) => !out.held && out.flags)).toEqual([0, 0, 0, s.BUFFER_EOS]);
    expect([drain.code, outs[4]?.held]).toEqual([0x200, true]);
    feed(r, 3, frame(9), 9n);
    work(r);
    expect(outs[4]?.timestamp).toBe(9n);
    const again = r.driver.drain(1);
    stop(r);
    resume(r);
    want(r, 11);
    work(r);
    expect(again.code).toBe(0x200);
  });

  test("a change of size in work when the rings stop: old pictures, event, EOS, new pictures", () => {
    const { r, outs } = running(options);
    using _r = r;
    const [w2, h2] = [96, 64];
    feed(r, 2, Buffer.concat([frame(2), frame(3, w2, h2), frame(4, w2, h2)]), 6n);
    stop(r);
    resume(r);
    expect(r.driver.eventList.length).toBe(2);
    expect(readParams(r).frame_width).toBe(w2);
    work(r);
    expect(outs.map(({ held }) => held)).toEqual([false, false, false, true]);
    expect(outs[2]?.flags).toBe(s.BUFFER_EOS);
    r.driver.clear(1, s.OUTPUT);
    r.driver.destroyAll(1, s.OUTPUT);
    const bytes = (w2 * h2 * 3) / 2;
    const at = [31, 32].map((id) => r.driver.simple(1, s.OUTPUT, id, bytes));
    const fresh = [want(r, 31), want(r, 32)];
    work(r);
    expect(fresh.map(({ size }) => size)).toEqual([bytes, bytes]);
    expect(at.map((a) => r.driver.memory.bytes(a, bytes)[0])).toEqual([3, 4]);
  });

  test("the rings stop after every few pictures of a clip of 150: each comes once, in order", () => {
    using r = rig(options);
    r.driver.destroy(1);
    const clip = Buffer.concat(
      Array.from({ length: 150 }, (_, i) => frame(i & 0xff, W, H, 50 + i)),
    );
    const player = new ClipPlayer(r.driver, 1, {
      ...{ clip, format: 4, width: W, height: H, chunk: "frame", pieces: 1, mode: "drain" },
    });
    for (let turn = 0, idle = 0; !player.done && idle < 50; turn++) {
      idle = player.step() ? 0 : idle + 1;
      if (turn % 7 === 0) {
        stop(r);
        r.driver.device.resume();
      }
      r.fake.settle();
      if (turn % 3 !== 0) r.fake.finishLate();
      r.fake.settle();
    }
    expect([player.frames, player.errors, player.eos, player.done]).toEqual([150, 0, 1, true]);
    expect(player.times).toEqual(Array.from({ length: 150 }, (_, i) => timeOf(i)));
  });

  test("a reset instead of a resume: nothing is written, nothing is answered, nothing stays open", () => {
    const { r, outs } = running(options);
    using _r = r;
    feed(r, 2, frame(2), 2n);
    stop(r);
    const before = snapshot(r);
    const held = outs.filter((out) => out.held);
    r.driver.device.reset();
    r.driver.start();
    work(r);
    expect(held.every((out) => out.held)).toBe(true);
    expect(Buffer.compare(before, snapshot(r))).toBe(0);
    expect(r.fake.contexts.filter(({ closed }) => !closed).length).toBe(1);
    expect(r.driver.create(1).code).toBe(0x200);
  });

  test("memory that moves while the rings stand still is written in its new place only", () => {
    const { r, outs } = running(options);
    using _r = r;
    stop(r);
    r.driver.memory.replace([{ address: BASE, length: MEMORY }]);
    r.driver.device.memoryChanged(r.driver.memory);
    resume(r);
    feed(r, 2, frame(7), 7n);
    work(r);
    expect([outs[1]?.timestamp, shown(r, 12)]).toEqual([7n, [7]]);
  });

  test("rings that stop twice and start twice, and a stream that has not begun", () => {
    using r = rig(options);
    stop(r);
    stop(r);
    resume(r);
    resume(r);
    const early = want(r, 11);
    stop(r);
    resume(r);
    feed(r, 1, frame(3), 3n);
    work(r);
    expect(early.timestamp).toBe(3n);
  });
});

test("a decoder that does not finish holds the stop up for a second, all its streams together", () => {
  using r = rig({ late: "hangs", userPointers: true });
  const outs: Sent[] = [];
  for (const stream of [1, 2, 3]) {
    r.driver.create(stream);
    r.driver.setParams(stream, s.INPUT, { width: W, height: H });
    const at = r.driver.simple(stream, s.INPUT, 1, 12_288);
    r.driver.simple(stream, s.OUTPUT, 11, 8192);
    r.driver.memory.bytes(at, 94).set(frame(stream));
    outs.push(r.driver.queue(stream, s.OUTPUT, 11));
    r.driver.queue(stream, s.INPUT, 1, [94], BigInt(stream));
    r.fake.settle();
    r.driver.params(stream, s.OUTPUT);
  }
  const from = performance.now();
  stop(r);
  expect(performance.now() - from).toBeLessThan(1900);
  resume(r);
  expect(r.driver.eventList.filter(([type]) => type === s.EVENT_ERROR)).toEqual([]);
});

test("a decoder that fails while the rings stop ends its stream, and nothing else", () => {
  const faults = new Map<string, number>();
  const { r, outs } = running({ late, userPointers: true, faults });
  using _r = r;
  feed(r, 2, frame(2), 2n);
  faults.set("VIDIOC_DQBUF", errno.EIO);
  r.driver.device.pause();
  faults.clear();
  work(r);
  resume(r);
  expect(outs.slice(1).map(({ flags }) => flags)).toEqual([1, 1, 1]);
  expect(r.driver.complaints.filter((line) => line.includes("VIDIOC_DQBUF")).length).toBe(1);
  r.driver.destroy(1);
  expect(r.driver.create(1).code).toBe(0x200);
});

test.each([
  ["USERPTR", true],
  ["MMAP", false],
])(
  "through rings, %s: GET_VRING_BASE is answered when nothing writes any more",
  (_, userPointers) =>
    withVideo({ fake: { late, userPointers } }, async ({ scene, guest, fake }) => {
      await guest.create(1);
      const { ram } = scene;
      const bytes = frame(5);
      const setSize = guest.make(0x10e, 1, s.extParams, (q) => {
        q.queue_type = s.INPUT;
        q.frame_width = W;
        q.frame_height = H;
        q.num_planes = 1;
      });
      await guest.send(setSize);
      const resource = async (queue: number, id: number, at: number, length: number) => {
        const request = new Uint8Array(new ArrayBuffer(104));
        const q = s.resourceCreate.over(request);
        q.type = 0x104;
        q.stream_id = 1;
        q.queue_type = queue;
        q.resource_id = id;
        q.num_planes = 1;
        q.num_entries.set(0, 1);
        const entry = memEntry.over(request, 88);
        entry.addr = BigInt(at);
        entry.length = length;
        expect((await guest.send(request)).code).toBe(0x200);
      };
      const queue = (which: number, id: number, size: number) =>
        guest.send(
          guest.make(0x105, 1, s.resourceQueue, (q) => {
            q.queue_type = which;
            q.resource_id = id;
            q.num_data_sizes = 1;
            q.data_sizes.set(0, size);
          }),
        );
      const input = ram.allocate(12_288);
      await resource(s.INPUT, 1, input, 12_288);
      for (const id of [11, 12]) await resource(s.OUTPUT, id, ram.allocate(8192), 8192);
      ram.bytes(input, bytes.length).set(bytes);
      await queue(s.INPUT, 1, bytes.length);
      await guest.params(1, s.OUTPUT);
      const outs = [await queue(s.OUTPUT, 11, 0), await queue(s.OUTPUT, 12, 0)];
      expect(outs.map(({ held }) => held)).toEqual([true, true]);
      await scene.hypervisor.stop();
      const all = ram.bytes(0, MEMORY);
      const before = all.slice();
      for (let i = 0; i < 3; i++) {
        fake?.finishLate();
        fake?.settle();
      }
      expect(Buffer.compare(before, ram.bytes(0, MEMORY))).toBe(0);
    }),
);

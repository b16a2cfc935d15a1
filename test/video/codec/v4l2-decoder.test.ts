// The V4L2 decoder back-end on a fake memory-to-memory device: both APIs, both memory types, and drivers with quirks.
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { EPOLLIN, EPOLLOUT, EPOLLPRI } from "../../../ffi/epoll.ts";
import { errno } from "../../../ffi/errno.ts";
import * as s from "../../../src/video/structs.ts";
import {
  feed,
  frame,
  H,
  PICTURE,
  readParams,
  rig,
  shown,
  W,
  want,
} from "../../support/decoder-rig.ts";
import type { FakeOptions } from "../../support/fake-decoder.ts";

const variants: [string, FakeOptions][] = [
  ["single-planar, MMAP", {}],
  ["multi-planar, MMAP", { multiplanar: true }],
  ["single-planar, USERPTR", { userPointers: true }],
  ["multi-planar, USERPTR", { userPointers: true, multiplanar: true }],
  ["USERPTR refused at QBUF", { userPointers: true, refusesPointers: true }],
  ["START forgotten", { forgetsStart: true }],
  ["START forgotten, USERPTR", { forgetsStart: true, userPointers: true }],
];

describe.each(variants)("%s", (_, options) => {
  test("pictures come out byte for byte, with their times, without a drain", () => {
    using r = rig(options);
    const times = [2n ** 53n + 7n, 123_456_789_123_456_789n, 2n ** 64n - 2n];
    feed(r, 1, frame(10), times[0] ?? 0n);
    expect(r.driver.eventList).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
    const params = readParams(r);
    expect([params.frame_width, params.frame_height, params["crop.width"]]).toEqual([W, H, W - 2]);
    expect([params["plane_formats[0].plane_size"], params["plane_formats[0].stride"]]).toEqual([
      PICTURE,
      W,
    ]);
    expect(params.min_buffers).toBe(3);
    const outs = [want(r, 11), want(r, 12), want(r, 13)];
    const ins = [feed(r, 2, frame(20), times[1] ?? 0n), feed(r, 3, frame(30), times[2] ?? 0n)];
    expect(ins.map(({ code, flags }) => [code, flags])).toEqual([
      [0x202, 0],
      [0x202, 0],
    ]);
    expect(outs.map(({ timestamp }) => timestamp)).toEqual(times);
    expect(outs.map(({ size, flags }) => [size, flags])).toEqual(outs.map(() => [PICTURE, 0]));
    expect([11, 12, 13].flatMap((id) => shown(r, id))).toEqual([10, 20, 30]);
  });

  test("buffers that wait for pictures of the size that comes are used at once, without an event", () => {
    using r = rig(options);
    const early = [want(r, 11), want(r, 12)];
    feed(r, 1, frame(5), 1n);
    expect(r.driver.eventList).toEqual([]);
    expect([early[0]?.timestamp, early[1]?.held, shown(r, 11)]).toEqual([1n, true, [5]]);
  });

  test("buffers that wait for pictures of another size stay parked until QUEUE_CLEAR, also after GET_PARAMS", () => {
    using r = rig(options);
    const [w2, h2] = [32, 32]; // they would fit
    const early = [want(r, 11), want(r, 12)];
    feed(r, 1, Buffer.concat([frame(5, w2, h2), frame(6, w2, h2)]), 1n);
    expect(r.driver.eventList).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
    early.push(want(r, 13)); // the event is on its way
    readParams(r);
    early.push(want(r, 14));
    expect(early.map(({ held }) => held)).toEqual([true, true, true, true]);
    r.driver.clear(1, s.OUTPUT);
    expect(early.map(({ flags }) => flags)).toEqual(early.map(() => s.BUFFER_ERR));
    const fresh = [want(r, 11), want(r, 12)];
    const bytes = (w2 * h2 * 3) / 2;
    expect(fresh.map(({ size, flags }) => [size, flags])).toEqual([
      [bytes, 0],
      [bytes, 0],
    ]);
    const at = (i: number) => r.driver.memory.bytes(r.outputs[i] ?? 0n, 1)[0];
    expect([at(0), at(1), r.driver.eventList.length]).toEqual([5, 6, 1]);
  });

  test("drain: all pictures, an empty EOS buffer, the answer; new bitstream resumes decoding, each time", () => {
    using r = rig(options);
    feed(r, 1, Buffer.concat([frame(1), frame(2), frame(3)]), 9n);
    readParams(r);
    for (const round of [1, 2, 3]) {
      if (round > 1) feed(r, 1, Buffer.concat([frame(1), frame(2), frame(3)]), 9n);
      const drain = r.driver.drain(1);
      r.fake.settle();
      const outs = [11, 12, 13, 14].map((id) => want(r, id));
      expect(outs.map(({ flags, size }) => [flags, size])).toEqual([
        [0, PICTURE],
        [0, PICTURE],
        [0, PICTURE],
        [s.BUFFER_EOS, 0],
      ]);
      expect([drain.code, r.driver.answered.at(-1) === drain]).toEqual([0x200, true]);
      expect([11, 12, 13].flatMap((id) => shown(r, id))).toEqual([1, 2, 3]);
    }
  });

  test("a drain with every buffer already with the decoder", () => {
    using r = rig(options);
    feed(r, 1, frame(1), 1n);
    readParams(r);
    const outs = [11, 12, 13, 14, 15, 16].map((id) => want(r, id));
    feed(r, 2, frame(2), 2n);
    const drain = r.driver.drain(1);
    r.fake.settle();
    expect(drain.code).toBe(0x200);
    expect(outs.map(({ held }) => held)).toEqual([false, false, false, true, true, true]);
    expect(outs.slice(0, 3).map(({ flags }) => flags)).toEqual([0, 0, s.BUFFER_EOS]);
    feed(r, 1, frame(7), 7n);
    expect(outs.filter(({ held }) => !held && true).length).toBe(4);
    const id = 11 + outs.findIndex((o, i) => i > 2 && !o.held);
    expect([shown(r, id), outs[id - 11]?.timestamp]).toEqual([[7], 7n]);
  });

  test("a drain of nothing, before and after pictures", () => {
    using r = rig(options);
    const drain = r.driver.drain(1);
    r.fake.settle();
    expect([want(r, 11).flags, drain.code]).toEqual([s.BUFFER_EOS, 0x200]);
    feed(r, 1, frame(4), 4n);
    readParams(r);
    expect(want(r, 11).timestamp).toBe(4n);
    const again = r.driver.drain(1);
    r.fake.settle();
    expect([want(r, 12).flags, again.code]).toEqual([s.BUFFER_EOS, 0x200]);
  });

  test("seek: both queues are cleared, every buffer is returned, then decoding continues at another place", () => {
    using r = rig(options);
    feed(r, 1, Buffer.concat([frame(1), frame(2)]), 1n);
    readParams(r);
    for (const round of [1, 2, 3]) {
      const outs = [11, 12, 13].map((id) => want(r, id));
      feed(r, 2, Buffer.concat([frame(3), frame(4), frame(5), frame(6)]), 3n);
      feed(r, 3, frame(7), 4n);
      r.driver.clear(1, s.INPUT);
      const clear = r.driver.clear(1, s.OUTPUT);
      expect(outs.every(({ held }) => !held)).toBe(true);
      expect(r.driver.answered.at(-1)).toBe(clear);
      r.fake.settle();
      const [out] = [want(r, 14)];
      expect(out?.held).toBe(true);
      feed(r, 4, frame(40 + round), 100n + BigInt(round));
      expect([out?.timestamp, shown(r, 14)]).toEqual([100n + BigInt(round), [40 + round]]);
      r.driver.clear(1, s.INPUT);
      r.driver.clear(1, s.OUTPUT);
    }
    expect(r.driver.eventList.length).toBe(1);
  });

  test.each([
    ["both queues", [s.OUTPUT, s.INPUT]],
    ["bitstream only", [s.INPUT]],
  ])(
    "seek, %s cleared, then a drain: the format stays, every picture comes, the drain ends",
    (_, cleared) => {
      using r = rig(options);
      r.driver.setParams(1, s.OUTPUT, { format: 3, width: W, height: H });
      feed(r, 1, Buffer.concat([frame(1), frame(2)]), 1n);
      readParams(r);
      want(r, 11);
      want(r, 12);
      for (const round of [1, 2]) {
        for (const queue of cleared) r.driver.clear(1, queue);
        const outs = [11, 12, 13, 14].map((id) => want(r, id));
        feed(r, 1, Buffer.concat([frame(round), frame(5), frame(6)]), 5n);
        const drain = r.driver.drain(1);
        r.fake.settle();
        expect([drain.code, readParams(r).format]).toEqual([0x200, 3]);
        expect(outs.map(({ flags }) => flags)).toEqual([0, 0, 0, s.BUFFER_EOS]);
        expect([11, 12, 13].flatMap((id) => shown(r, id))).toEqual([round, 5, 6]);
      }
      expect(r.driver.eventList.length).toBe(1);
    },
  );

  test("an idle queue, or one that gave its last picture, is not polled: poll would report it without end", () => {
    using r = rig(options);
    const watched = () => r.fake.contexts[1]?.watch?.events ?? -1;
    expect(watched()).toBe(EPOLLPRI);
    feed(r, 1, frame(1), 1n);
    readParams(r);
    want(r, 11);
    want(r, 12);
    expect(watched() & EPOLLOUT).toBe(0); // all bitstream was read
    r.driver.drain(1);
    r.fake.settle();
    expect(watched()).toBe(EPOLLPRI);
    feed(r, 1, frame(2), 2n);
    for (const id of [13, 14, 15]) want(r, id);
    expect(watched() & EPOLLIN).toBe(EPOLLIN);
    r.driver.clear(1, s.OUTPUT);
    r.driver.clear(1, s.INPUT);
    expect(watched()).toBe(EPOLLPRI);
  });

  test("a cleared drain is cancelled, and what comes after it is decoded", () => {
    using r = rig(options);
    feed(r, 1, Buffer.concat([frame(1), frame(2), frame(3)]), 1n);
    readParams(r);
    want(r, 11);
    const drain = r.driver.drain(1);
    r.fake.settle();
    r.driver.clear(1, s.INPUT);
    expect(drain.code).toBe(0x300);
    r.fake.settle();
    r.driver.clear(1, s.OUTPUT);
    feed(r, 2, frame(8), 8n);
    expect(want(r, 12).timestamp).toBe(8n);
    expect(shown(r, 12)).toEqual([8]);
  });

  test("another resolution in mid-stream: old pictures, event, EOS, new buffers, new pictures", () => {
    using r = rig(options);
    const [w2, h2] = [96, 64];
    feed(r, 1, Buffer.concat([frame(1), frame(2), frame(3, w2, h2), frame(4, w2, h2)]), 6n);
    readParams(r);
    const outs = [11, 12, 13, 14].map((id) => want(r, id));
    expect(outs.map(({ held }) => held)).toEqual([false, false, true, true]);
    expect(r.driver.eventList.length).toBe(2);
    const params = readParams(r);
    expect([params.frame_width, params.frame_height]).toEqual([w2, h2]);
    expect(outs.map(({ held }) => held)).toEqual([false, false, false, true]);
    expect([outs[2]?.flags, outs[2]?.size]).toEqual([s.BUFFER_EOS, 0]);
    expect([11, 12].flatMap((id) => shown(r, id))).toEqual([1, 2]);
    r.driver.clear(1, s.OUTPUT);
    r.driver.destroyAll(1, s.OUTPUT);
    const bytes = (w2 * h2 * 3) / 2;
    const at = [31, 32].map((id) => r.driver.simple(1, s.OUTPUT, id, bytes));
    const fresh = [want(r, 31), want(r, 32)];
    expect(fresh.map(({ size, timestamp, flags }) => [size, timestamp, flags])).toEqual([
      [bytes, 6n, 0],
      [bytes, 6n, 0],
    ]);
    expect(at.map((a) => r.driver.memory.bytes(a, bytes)[0])).toEqual([3, 4]);
  });

  test("more picture buffers can be added while it runs", () => {
    using r = rig(options);
    feed(r, 1, Buffer.concat([frame(1), frame(2), frame(3)]), 1n);
    readParams(r);
    want(r, 11);
    const at = r.driver.simple(1, s.OUTPUT, 50, 8192);
    expect(want(r, 50).size).toBe(PICTURE);
    expect(r.driver.memory.bytes(at, 1)[0]).toBe(2);
  });

  test("a frame that cannot be decoded is one buffer with ERR, and the next is good", () => {
    using r = rig(options);
    feed(r, 1, Buffer.concat([frame(1), frame(0xee), frame(3)]), 1n);
    readParams(r);
    const outs = [11, 12, 13].map((id) => want(r, id));
    expect(outs.map(({ flags, size }) => [flags, size])).toEqual([
      [0, PICTURE],
      [s.BUFFER_ERR, 0],
      [0, PICTURE],
    ]);
  });

  test("suspended, nothing is written; resumed, every picture is delivered", () => {
    using r = rig(options);
    feed(r, 1, frame(1), 1n);
    readParams(r);
    want(r, 11);
    r.driver.device.pause();
    const late = r.driver.queue(1, s.OUTPUT, 12);
    feed(r, 2, frame(2), 2n);
    expect([late.held, shown(r, 12)]).toEqual([true, [-1]]);
    r.driver.device.resume();
    r.fake.settle();
    expect([late.timestamp, shown(r, 12)]).toEqual([2n, [2]]);
  });

  test("a stream that is destroyed leaves no descriptor and no mapping", () => {
    const count = () => readdirSync("/proc/self/fd").length;
    const before = count();
    {
      using r = rig(options);
      const open = count();
      for (let i = 0; i < 20; i++) {
        r.driver.create(2);
        r.driver.destroy(2);
      }
      feed(r, 1, frame(1), 1n);
      readParams(r);
      want(r, 11);
      expect(count()).toBe(open);
      r.driver.device.reset();
      expect(r.fake.contexts.filter(({ closed }) => !closed).length).toBe(1);
      r.driver.start();
      expect(r.driver.create(1).code).toBe(0x200);
    }
    expect(count()).toBe(before);
  });
});

test("zero-copy is used where the memory is in one piece, and one copy where it is not", () => {
  for (const [pieces, user] of [
    [1, true],
    [2, false],
  ] as const) {
    using r = rig({ userPointers: true }, { pieces });
    feed(r, 1, frame(1).subarray(0, 40), 1n);
    r.driver.clear(1, s.INPUT);
    const bytes = frame(9);
    const at = r.inputs[0] ?? 0n;
    r.driver.memory.bytes(at, bytes.length).set(bytes);
    r.driver.queue(1, s.INPUT, 1, [bytes.length], 5n);
    r.fake.settle();
    readParams(r);
    want(r, 11);
    const mapped = (r.fake.calls.get("VIDIOC_QUERYBUF") ?? 0) > 0;
    expect(mapped).toBe(!user);
  }
});

test("NV12 is set again after each change, because decoders return to their default format", () => {
  using r = rig();
  r.driver.setParams(1, s.OUTPUT, { format: 3, width: W, height: H });
  expect(r.driver.params(1, s.OUTPUT).format).toBe(3);
  feed(r, 1, frame(1), 1n);
  expect(readParams(r).format).toBe(3);
});

test("streams that run at once have a context each", () => {
  using r = rig();
  const { driver, fake } = r;
  for (const stream of [2, 3, 4]) {
    driver.create(stream);
    driver.setParams(stream, s.INPUT, { width: W, height: H });
    const at = driver.simple(stream, s.INPUT, 1, 12_288);
    const out = driver.simple(stream, s.OUTPUT, 1, 8192);
    driver.memory.bytes(at, 94).set(frame(stream * 10));
    driver.queue(stream, s.INPUT, 1, [94], BigInt(stream));
    fake.settle();
    driver.params(stream, s.OUTPUT);
    const sent = driver.queue(stream, s.OUTPUT, 1);
    fake.settle();
    expect([sent.timestamp, driver.memory.bytes(out, 1)[0]]).toEqual([BigInt(stream), stream * 10]);
  }
});

test("bitstream larger than the decoder's buffer is one ERR answer", () => {
  using r = rig();
  const at = r.driver.simple(1, s.INPUT, 60, 65_536);
  expect(at).toBeGreaterThan(0n);
  const sent = r.driver.queue(1, s.INPUT, 60, [60_000], 1n);
  expect([sent.code, sent.flags]).toEqual([0x202, s.BUFFER_ERR]);
  expect(feed(r, 1, frame(1), 2n).code).toBe(0);
});

test.each(["VIDIOC_DQBUF", "VIDIOC_STREAMON", "VIDIOC_QBUF", "VIDIOC_REQBUFS"])(
  "%s failing with EIO is one ERROR event; what is held comes back, the next stream works",
  (call) => {
    const faults = new Map<string, number>();
    using r = rig({ faults });
    faults.set(call, errno.EIO);
    const held = want(r, 11);
    feed(r, 1, frame(1), 1n);
    readParams(r);
    expect(r.driver.eventList.filter(([type]) => type === s.EVENT_ERROR)).toEqual([
      [s.EVENT_ERROR, 1],
    ]);
    expect(held.flags).toBe(s.BUFFER_ERR);
    expect(want(r, 12).flags).toBe(s.BUFFER_ERR);
    expect(r.driver.drain(1).code).toBe(0x300);
    expect(r.driver.clear(1, s.OUTPUT).code).toBe(0x200);
    expect(r.driver.params(1, s.OUTPUT).num_planes).toBe(1);
    faults.clear();
    expect(r.driver.destroy(1).code).toBe(0x200);
    expect(r.driver.create(1).code).toBe(0x200);
    r.driver.setParams(1, s.INPUT, { width: W, height: H });
    r.driver.resource(1, s.INPUT, 1, [[{ address: r.inputs[0] ?? 0n, length: 12_288 }]]);
    r.driver.resource(1, s.OUTPUT, 11, [[{ address: r.outputs[0] ?? 0n, length: 8192 }]]);
    feed(r, 1, frame(77), 1n);
    readParams(r);
    want(r, 11);
    expect(shown(r, 11)).toEqual([77]);
  },
);

test("absurd sizes are clamped by the device, format 0 keeps the format, and nothing changes under a running queue", () => {
  using r = rig();
  const most = 0xffff_ffff;
  for (const queue of [s.INPUT, s.OUTPUT]) {
    expect(r.driver.setParams(1, queue, { width: most, height: most }).code).toBe(0x200);
    const p = r.driver.params(1, queue);
    expect([p.frame_width, p.frame_height, p.format !== 0]).toEqual([2048, 2048, true]);
  }
  r.driver.setParams(1, s.OUTPUT, { format: 3, width: W, height: H });
  r.driver.setParams(1, s.INPUT, { width: W, height: H });
  feed(r, 1, frame(1), 1n);
  readParams(r);
  const outs = [want(r, 11), want(r, 12)];
  expect(r.driver.setParams(1, s.OUTPUT, { format: 4, width: 128, height: 128 }).code).toBe(0x200);
  expect(readParams(r).format).toBe(3);
  feed(r, 2, frame(2), 2n);
  expect(outs.map(({ timestamp, size }) => [timestamp, size])).toEqual([
    [1n, PICTURE],
    [2n, PICTURE],
  ]);
});

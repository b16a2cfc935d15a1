// The memory of pictures and bitstream of a V4L2 decoder: guest memory in place, or buffers of the V4L2 driver, in one
// memory plane or several.
import { expect, test } from "bun:test";
import * as s from "../../../src/video/structs.ts";
import {
  BITSTREAM,
  feed,
  frame,
  H,
  PICTURE,
  readParams,
  rig,
  W,
  want,
} from "../../support/decoder-rig.ts";
import type { FakeOptions } from "../../support/fake-decoder.ts";
import { logged } from "../../support/logged.ts";

test("a resource gets the buffer it had last: its pages are looked up once, not once a picture", () => {
  using r = rig({ userPointers: true });
  feed(r, 1, frame(0), 0n);
  readParams(r);
  for (const id of [11, 12, 13]) want(r, id);
  for (let n = 1; n <= 60; n++) {
    feed(r, 1 + (n % 3), frame(n), BigInt(n));
    for (const id of [11, 12, 13].slice(n % 2)) want(r, id);
  }
  expect(r.fake.pins).toBe(6);
});

test("a new memory table without a move: nothing is lost, and addresses not in use are looked up again", () => {
  using r = rig({ userPointers: true });
  feed(r, 1, frame(1), 1n);
  readParams(r);
  const first = want(r, 11);
  const waiting = want(r, 12);
  const { pins } = r.fake;
  r.driver.device.memoryChanged(r.driver.memory);
  expect([first.size, waiting.held]).toEqual([PICTURE, true]);
  want(r, 11);
  feed(r, 2, frame(2), 2n);
  expect([waiting.timestamp, waiting.flags]).toEqual([2n, 0]);
  expect(r.fake.pins).toBe(pins + 2); // input 2 for the first time, output 11 in another buffer
});

test("memory that moved while the decoder has it: buffers are made again, and decoding continues in the new place", () => {
  using r = rig({ userPointers: true });
  feed(r, 1, frame(1), 1n);
  readParams(r);
  want(r, 11);
  const held = want(r, 12);
  const before = r.fake.calls.get("VIDIOC_REQBUFS") ?? 0;
  // The same guest memory is mapped at another address; then the old mapping is removed.
  r.driver.memory.replace([{ address: 0x1000_0000n, length: 8 * 1024 * 1024 }]);
  r.driver.device.memoryChanged(r.driver.memory);
  r.fake.settle();
  expect(r.fake.calls.get("VIDIOC_REQBUFS")).toBeGreaterThan(before);
  expect([held.held, want(r, 13).held]).toEqual([true, true]);
  feed(r, 2, frame(9), 9n);
  expect([held.timestamp, held.size]).toEqual([9n, PICTURE]);
  expect(r.driver.memory.bytes(r.outputs[1] ?? 0n, 2)).toEqual(new Uint8Array([9, 10]));
});

test.each([
  ["one buffer", 1],
  ["a buffer for each colour plane", 2],
])("pictures in two memory planes are joined in %s", (_, layout) => {
  using r = rig({ multiplanar: true, userPointers: true, raw: ["NM12"] });
  expect(
    new Uint32Array(r.driver.capability(s.OUTPUT).reply?.buffer ?? new ArrayBuffer(32))[6],
  ).toBe(3);
  feed(r, 1, frame(40), 7n);
  const params = readParams(r);
  expect([params.format, params.num_planes, params["plane_formats[0].plane_size"]]).toEqual([
    3,
    1,
    PICTURE,
  ]);
  const luma = r.driver.allocate(2 * PICTURE);
  const chroma = layout === 1 ? luma + BigInt(W * H) : luma + 8192n;
  const whole = [[{ address: luma, length: PICTURE }]];
  const split = [[{ address: luma, length: W * H }], [{ address: chroma, length: (W * H) / 2 }]];
  r.driver.resource(1, s.OUTPUT, 30, layout === 1 ? whole : split, { layout });
  const sent = want(r, 30);
  expect([sent.timestamp, sent.size, sent.flags]).toEqual([7n, PICTURE, 0]);
  const at = (place: bigint, i: number) => r.driver.memory.bytes(place + BigInt(i), 1)[0];
  expect([at(luma, 0), at(luma, W * H - 1)]).toEqual([40, (40 + W * H - 1) & 0xff]);
  const last = (W * H) / 2 - 1;
  expect([at(chroma, 0), at(chroma, last)]).toEqual([
    (40 + W * H) & 0xff,
    (40 + W * H + last) & 0xff,
  ]);
});

const choices: [string, FakeOptions, number, string][] = [
  ["USERPTR", {}, 1, "USERPTR"],
  ["MMAP", {}, 2, "MMAP"],
  ["USERPTR that is refused", { refusesPointers: true }, 1, "MMAP"],
];
test.each(choices)(
  "%s: logged once for each queue, however often buffers are made",
  (_, more, pieces, last) => {
    const said = logged(() => {
      using r = rig({ userPointers: true, ...more }, { pieces });
      for (let i = 0; i < 3; i++) {
        feed(r, 1, frame(i), BigInt(i));
        if (i === 0) readParams(r);
        want(r, 11);
        r.driver.clear(1, s.INPUT);
        r.driver.clear(1, s.OUTPUT);
      }
    });
    for (const queue of ["bitstream", "pictures"])
      expect(said.filter((line) => line.includes(`${queue}: ${last}`)).length).toBe(1);
  },
);

test("counters: pictures in contiguous guest memory are not copied, in pieces that begin inside pages once", () => {
  const said = logged(() => {
    for (const pieces of [1, 2]) {
      using r = rig({ userPointers: true }, { pieces });
      feed(r, 1, frame(1), 1n);
      readParams(r);
      want(r, 11);
    }
  });
  expect(said.filter((line) => line.includes("copied"))).toEqual([
    "debug /dev/fake: 1 pictures, 0 copied; 1 buffers of bitstream, 0 copied",
    "debug /dev/fake: 1 pictures, 1 copied; 1 buffers of bitstream, 1 copied",
  ]);
});

test("bitstream in several planes is gathered in their order", () => {
  using r = rig({ userPointers: true });
  const bytes = frame(50);
  const at = [r.driver.allocate(BITSTREAM), r.driver.allocate(BITSTREAM)] as const;
  const planes = at.map((address) => [{ address, length: BITSTREAM }]);
  r.driver.resource(1, s.INPUT, 70, planes, { layout: 2 });
  r.driver.memory.bytes(at[0], 50).set(bytes.subarray(0, 50));
  r.driver.memory.bytes(at[1], bytes.length - 50).set(bytes.subarray(50));
  r.driver.queue(1, s.INPUT, 70, [50, bytes.length - 50], 3n);
  r.fake.settle();
  readParams(r);
  expect(want(r, 11).timestamp).toBe(3n);
  expect(r.driver.memory.bytes(r.outputs[0] ?? 0n, 1)[0]).toBe(50);
});

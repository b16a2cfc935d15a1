// A driver with arbitrary answers: no crash, no hang, no leak; the result is an error of one line, or frames whose memory
// can be read. It cannot show a kernel that maps less than it says, which the kernel itself prevents.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { viewOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { isExpected } from "../../src/errors.ts";
import type { Source } from "../../src/frame/source.ts";
import { quiet, wish } from "../support/camera-options.ts";
import { FakeCamera } from "../support/fake-camera.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

const answers = [
  v.VIDIOC_QUERYCAP,
  v.VIDIOC_S_FMT,
  v.VIDIOC_S_PARM,
  v.VIDIOC_REQBUFS,
  v.VIDIOC_QUERYBUF,
  v.VIDIOC_QBUF,
  v.VIDIOC_DQBUF,
  v.VIDIOC_DQEVENT,
];

/** Numbers that drivers get wrong. */
const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 63, 64, 65, 4095, 4096, 4097, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
  fc.integer({ min: 0, max: 20_000 }),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
/** Which answer, which 32-bit words of it or of the planes it points to, what is written there. */
const lies = fc.array(
  fc.record({
    answer: fc.constantFrom(...answers),
    words: fc.array(fc.tuple(fc.nat(24), word), { minLength: 1, maxLength: 4 }),
    planeWords: fc.array(fc.tuple(fc.nat(20), word), { maxLength: 2 }),
  }),
  { minLength: 1, maxLength: 4 },
);

const write = (bytes: Uint8Array<ArrayBuffer>, [at, value]: readonly [number, number]) => {
  if (at * 4 + 4 > bytes.length) return;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at * 4, value, true);
};

/** Reads both ends of each piece of each frame: outside of the mappings this would end the process. */
function touch(source: Source): void {
  for (const frame of source.frames) {
    for (const { address, length } of frame.pieces) {
      const view = viewOf(address, length);
      expect((view[0] ?? -1) + (view[length - 1] ?? -1)).toBeGreaterThanOrEqual(0);
    }
  }
}

const setUps = [
  { multiplanar: false, format: "YUYV", planes: [{ bytesperline: 160, sizeimage: 160 * 48 }] },
  { multiplanar: false, format: "NV12", planes: [{ bytesperline: 64, sizeimage: 64 * 72 }] },
  {
    multiplanar: true,
    format: "NM12",
    planes: [
      { bytesperline: 80, sizeimage: 80 * 48 },
      { bytesperline: 80, sizeimage: 80 * 24 },
    ],
  },
] as const;

test("a driver with a wrong value in any field of any answer costs at most the stream", async () => {
  let opened = 0;
  let refused = 0;
  const memories = fc.constantFrom("mmap", "dmabuf", "auto");
  const property = fc.property(
    fc.constantFrom(...setUps),
    memories,
    lies,
    (setUp, memory, told) => {
      const device = new FakeCamera(setUp);
      for (const { answer, words, planeWords } of told) {
        device.amend<typeof answer.argument.fields>(answer as never, ({ $bytes }) => {
          const buffer = $bytes.length === v.v4l2Buffer.size && setUp.multiplanar;
          // m.planes is a pointer of ours, which the kernel follows and never writes.
          const pointer = buffer ? v.v4l2Buffer.over($bytes)["m.planes"] : 0;
          for (const one of words) if (!buffer || one[0] < 16 || one[0] > 17) write($bytes, one);
          if (pointer !== 0) for (const one of planeWords) write(viewOf(pointer, 128), one);
        });
      }
      try {
        using camera = openCamera(device, { ...wish, format: setUp.format, memory, fps: 30 });
        opened += 1;
        touch(camera);
        expect(camera.picture.sizeimage).toBeLessThanOrEqual(0xffff_ffff);
        expect(camera.frames.length).toBeLessThanOrEqual(64);
        camera.start();
        for (let n = 0; n < 6; n++) {
          if (device.queued > 0) device.produce();
          using frame = camera.next();
          expect(frame?.bytesused ?? 1).toBeGreaterThan(0);
          expect(frame?.bytesused ?? 1).toBeLessThanOrEqual(frame?.capacity ?? 1);
        }
      } catch (error) {
        refused += 1;
        if (!isExpected(error)) throw error;
        expect(error.message).not.toContain("\n");
      }
      expect(device.disposed).toBe(true);
    },
  );
  const left = await leftBehind("memfd", () => fc.assert(property, { numRuns: 2000 }));
  expect(left).toEqual(nothing);
  expect(opened).toBeGreaterThan(150); // both happened often
  expect(refused).toBeGreaterThan(150);
}, 120_000);

test("a driver that fails at any call, in any order, leaves nothing behind", async () => {
  const names = ["S_FMT", "G_PARM", "REQBUFS", "QUERYBUF", "EXPBUF", "QBUF", "DQBUF"];
  names.push("STREAMON", "STREAMOFF", "SUBSCRIBE_EVENT", "DQEVENT");
  const faults = fc.array(
    fc.tuple(fc.constantFrom(...names), fc.constantFrom(4, 5, 12, 16, 19, 22, 25, 531), fc.nat(7)),
    { minLength: 1, maxLength: 3 },
  );
  const memories = fc.constantFrom("mmap", "dmabuf", "auto");
  const property = fc.property(
    fc.constantFrom(...setUps),
    memories,
    faults,
    (setUp, memory, list) => {
      const device = new FakeCamera(setUp);
      for (const [name, code, call] of list) device.fail(name, code, call === 0 ? undefined : call);
      try {
        using camera = openCamera(device, { ...wish, format: setUp.format, memory });
        for (let round = 0; round < 2; round++) {
          camera.start();
          for (let n = 0; n < 3; n++) {
            if (device.queued > 0) device.produce();
            camera.next()?.[Symbol.dispose]();
          }
          camera.stop();
        }
      } catch (error) {
        if (!isExpected(error)) throw error;
      }
      expect(device.disposed).toBe(true);
    },
  );
  const left = await leftBehind("memfd", () => fc.assert(property, { numRuns: 1000 }));
  expect(left).toEqual(nothing);
}, 120_000);

test("the structs a driver writes into stay where they are while garbage is collected", () => {
  const device = new FakeCamera(setUps[2]);
  using camera = openCamera(device, { ...wish, format: "NM12" });
  camera.start();
  for (let n = 0; n < 8; n++) {
    device.produce();
    Bun.gc(true);
    using frame = camera.next();
    expect(frame?.sequence).toBe(n);
    Bun.gc(true);
  }
  expect(camera.errors).toBe(0);
});

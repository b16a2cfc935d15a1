// The queue class: directions, memory types, planes. Cameras and decoders, which use it, have their own tests
// (test/capture, test/video/codec).
import { expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { OwnBuffer } from "../../src/frame/memory.ts";
import { mapPlanes } from "../../src/v4l2/buffers-mmap.ts";
import { makeBuffers } from "../../src/v4l2/make-buffers.ts";
import { type MemoryType, NOT_QUEUED, type PlaneMemory, Queue } from "../../src/v4l2/queue.ts";
import { HEAP_MEMORY, memfdHeap, quiet } from "../support/camera-options.ts";
import { FakeCamera, patternByte } from "../support/fake-camera.ts";
import { FakeOutput } from "../support/fake-output.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

const LUMA = 8192;
const CHROMA = 4096;
const layouts = [
  { api: "single-planar", planes: [LUMA + CHROMA] },
  { api: "multi-planar", planes: [LUMA, CHROMA] },
];
const outputs = layouts.flatMap((layout) =>
  (["mmap", "dmabuf", "userptr"] as const).map((memory) => ({ ...layout, memory })),
);

/** Distinct numbers; the fake does not follow them. */
const placeOf = (memory: MemoryType, plane: number) =>
  ({ mmap: 0, dmabuf: 70 + plane, userptr: 0x7000_0000_1000 + plane * LUMA })[memory];

/** What QBUF is given for the planes of a buffer. */
function given(memory: MemoryType, planes: readonly number[]): PlaneMemory[] | undefined {
  if (memory === "mmap") return undefined;
  return planes.map((length, i) => {
    const place = placeOf(memory, i);
    return memory === "dmabuf" ? { fd: place, length } : { address: place, length };
  });
}

test.each(outputs)(
  "an output queue, $api, $memory: QBUF says how many bytes, when and which field",
  ({ planes, memory }) => {
    using device = new FakeOutput(planes, planes.length > 1);
    const queue = new Queue(device, "output", planes.length > 1);
    expect(queue.request(3, memory, planes.length)).toBe(3);
    const bytesused = planes.map((bytes) => bytes - 100);
    const payload = { bytesused, tsSec: 12, tsUsec: 345_678, field: v.V4L2_FIELD_NONE };
    expect(queue.queueFilled(2, payload, given(memory, planes))).toBe(0);
    expect([queue.isQueued(2), queue.queuedCount]).toEqual([true, 1]);
    expect(device.shown).toEqual([
      {
        index: 2,
        seconds: 12,
        microseconds: 345_678,
        field: 1,
        planes: planes.map((length, i) => ({
          bytesused: length - 100,
          length,
          place: placeOf(memory, i),
        })),
      },
    ]);
    queue.start();
    expect(queue.dequeue()).toBe(2);
    expect(queue.dequeue()).toBe(-errno.EAGAIN);
    expect([queue.isQueued(2), queue.queuedCount]).toEqual([false, 0]);
    queue.stop();
    queue.free();
    expect([device.streaming, device.buffers, queue.count]).toEqual([false, 0, 0]);
  },
);

test("nothing of one QBUF is left in the next", () => {
  using device = new FakeOutput([LUMA, CHROMA], true);
  const queue = new Queue(device, "output", true);
  queue.request(2, "dmabuf", 2);
  const memory = given("dmabuf", [LUMA, CHROMA]);
  const payload = { bytesused: [LUMA, CHROMA], tsSec: 7, tsUsec: 8, field: 1 };
  queue.queueFilled(0, payload, memory);
  queue.queueFilled(1, { bytesused: [5], tsSec: 0, tsUsec: 0, field: 0 }, memory);
  expect(device.shown[1]).toMatchObject({ index: 1, seconds: 0, microseconds: 0, field: 0 });
  expect(device.shown[1]?.planes.map(({ bytesused }) => bytesused)).toEqual([5, 0]);
});

test("an output buffer that holds more than it has is refused, and stays with the caller", () => {
  using device = new FakeOutput([LUMA], false);
  const queue = new Queue(device, "output", false);
  queue.request(1, "mmap", 1);
  const payload = { bytesused: [LUMA + 1], tsSec: 0, tsUsec: 0, field: 1 };
  expect(queue.queueFilled(0, payload)).toBe(-errno.EINVAL);
  expect([queue.isQueued(0), queue.queuedCount]).toEqual([false, 0]);
});

test("memory for fewer planes than the queue has is a defect of the caller", () => {
  using device = new FakeOutput([LUMA, CHROMA], true);
  const queue = new Queue(device, "output", true);
  queue.request(1, "dmabuf", 2);
  const payload = { bytesused: [LUMA, CHROMA], tsSec: 0, tsUsec: 0, field: 1 };
  expect(() => queue.queueFilled(0, payload, [{ fd: 3, length: LUMA }])).toThrow(
    "no memory for plane 1",
  );
});

test.each(layouts)(
  "an output queue, $api: its planes are mapped and exported",
  async ({ planes }) => {
    const left = await leftBehind("fake-output", () => {
      using device = new FakeOutput(planes, planes.length > 1);
      using owned = new DisposableStack();
      const queue = new Queue(device, "output", planes.length > 1);
      queue.request(2, "mmap", planes.length);
      const mapped = [0, 1].map((index) => mapPlanes(queue, index, owned));
      expect(mapped.map((each) => each.map(({ length }) => length))).toEqual([planes, planes]);
      mapped[1]?.at(-1)?.bytes.fill(9);
      expect(mapped[0]?.[0]?.bytes.some((byte) => byte === 9)).toBe(false);
      queue.export(1, planes.length - 1)[Symbol.dispose]();
      expect(() => queue.export(1, planes.length)).toThrow(
        /^VIDIOC_EXPBUF \/dev\/video9 \(buffer 1\): EINVAL/,
      );
    });
    expect(left).toEqual(nothing);
  },
);

test("buffers of an output in a DMA heap: the CPU announces that it writes, QBUF gets the descriptors", async () => {
  const left = await leftBehind(HEAP_MEMORY, () => {
    const notes: string[] = [];
    class Watched extends OwnBuffer {
      override begin(access: number): void {
        notes.push(`begin ${access}`);
      }
      override end(access: number): void {
        notes.push(`end ${access}`);
      }
    }
    const openHeap = (path: string) => ({
      ...memfdHeap(path),
      allocate: (length: number) => new Watched(Fd.memory(HEAP_MEMORY, length), length, false),
    });
    using device = new FakeOutput([LUMA, CHROMA], true);
    const queue = new Queue(device, "output", true);
    const sizes = [LUMA, CHROMA];
    const options = { buffers: 2, heap: "heap", openHeap };
    using buffers = makeBuffers(queue, "dmabuf", { sizes, needs: sizes }, options);
    buffers.begin(1);
    buffers.mappings[1]?.[0]?.bytes.fill(1);
    buffers.end(1);
    expect(notes).toEqual(["begin 2", "begin 2", "end 2", "end 2"]);
    const payload = { bytesused: sizes, tsSec: 0, tsUsec: 0, field: 1 };
    expect(queue.queueFilled(1, payload, buffers.given[1])).toBe(0);
    const planes = device.shown[0]?.planes ?? [];
    expect(planes.map(({ length }) => length)).toEqual(sizes);
    expect(new Set(planes.map(({ place }) => place)).size).toBe(2);
  });
  expect(left).toEqual(nothing);
});

/** A capture queue on the fake camera, its format set: NM12 in two memory planes. */
function captureQueue(device: FakeCamera): Queue<"capture"> {
  const format = v.v4l2Format.alloc();
  format.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
  device.ioctl(v.VIDIOC_S_FMT, format);
  return new Queue(device, "capture", true);
}
const twoPlanes = {
  multiplanar: true,
  planes: [
    { sizeimage: LUMA, bytesperline: 64 },
    { sizeimage: CHROMA, bytesperline: 64 },
  ],
};

test("a capture queue describes the buffer it dequeued last: each plane, its number, time and flags", () => {
  using device = new FakeCamera(twoPlanes);
  const queue = captureQueue(device);
  using owned = new DisposableStack();
  owned.defer(() => queue.free());
  queue.request(2, "mmap", 2);
  const mapped = [0, 1].map((index) => mapPlanes(queue, index, owned));
  for (const index of [0, 1]) expect(queue.queueEmpty(index)).toBe(0);
  queue.start();
  device.produce({ dataOffset: 16, flags: v.V4L2_BUF_FLAG_ERROR });
  device.produce({ flags: v.V4L2_BUF_FLAG_LAST });
  expect(queue.dequeue()).toBe(0);
  expect([queue.error, queue.last, queue.dataOffset(1)]).toEqual([true, false, 16]);
  expect(queue.dequeue()).toBe(1);
  expect([queue.index, queue.sequence, queue.tsSec, queue.tsUsec]).toEqual([1, 1, 1001, 1]);
  expect([queue.error, queue.last, queue.dataOffset(1)]).toEqual([false, true, 0]);
  expect([0, 1, 2].map((plane) => queue.bytesused(plane))).toEqual([LUMA, CHROMA, 0]);
  expect(mapped[1]?.[1]?.bytes[7]).toBe(patternByte(1, 1, 7));
});

test("a buffer that the driver did not have is NOT_QUEUED, and `index` says which", () => {
  using device = new FakeCamera(twoPlanes);
  const queue = captureQueue(device);
  queue.request(2, "mmap", 2);
  queue.queueEmpty(0);
  queue.start();
  device.produce({ index: 63 });
  expect(queue.dequeue()).toBe(NOT_QUEUED);
  expect([queue.index, queue.queuedCount, queue.isQueued(0)]).toEqual([63, 1, true]);
  queue.free();
});

test("a driver that claims billions of buffers costs no memory", () => {
  using device = new FakeCamera({ ...twoPlanes, gives: () => 0xffff_ffff });
  const queue = captureQueue(device);
  expect(queue.request(4, "mmap", 2)).toBe(0xffff_ffff);
  expect(queue.count).toBeLessThanOrEqual(1024);
  queue.free();
});

test("STREAMON that fails throws with the errno, and the queue does not stream", () => {
  using device = new FakeOutput([LUMA], false);
  device.faults.set("VIDIOC_STREAMON", errno.ENOSPC);
  const queue = new Queue(device, "output", false);
  queue.request(1, "mmap", 1);
  expect(() => queue.start()).toThrow(SysError);
  expect(() => queue.start()).toThrow(/^VIDIOC_STREAMON \/dev\/video9: ENOSPC/);
  expect(queue.streaming).toBe(false);
});

test("STREAMOFF returns every buffer; a queue that never had one makes no call", () => {
  using device = new FakeCamera(twoPlanes);
  const queue = captureQueue(device);
  queue.stop();
  expect(device.callsOf("STREAMOFF")).toEqual([]);
  queue.request(2, "mmap", 2);
  for (const index of [0, 1]) queue.queueEmpty(index);
  queue.stop();
  expect([queue.queuedCount, queue.isQueued(0), device.queued]).toEqual([0, false, 0]);
  expect(device.callsOf("STREAMOFF").length).toBe(1);
  queue.free();
});

/** Never called: the lines under the comments must not compile. */
export function wrongDirections(capture: Queue<"capture">, output: Queue<"output">): void {
  // @ts-expect-error an output queue takes filled buffers
  output.queueEmpty(0);
  // @ts-expect-error a capture queue takes empty buffers
  capture.queueFilled(0, { bytesused: [1], tsSec: 0, tsUsec: 0, field: 1 });
}

// Pictures that an output node shows where they are: which memory its driver gets, when it comes back, what is copied instead.
import { expect, spyOn, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../../src/cli/log.ts";
import { fourcc } from "../../src/format/formats.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import type { Loop } from "../../src/loop.ts";
import { examineOutput } from "../../src/v4l2/output-device.ts";
import { agreeOnNodeFormat } from "../../src/v4l2/output-format.ts";
import type { Lending } from "../../src/v4l2/output-lending.ts";
import { openOutputStream } from "../../src/v4l2/output-stream.ts";
import { quiet } from "../support/camera-options.ts";
import { DMA_NAME, dmaBuffer } from "../support/dma-buffer.ts";
import { FakeLoopback } from "../support/fake-loopback.ts";
import { FakeOutput } from "../support/fake-output.ts";
import { onLoop } from "../support/loop.ts";
import { plainBuffer } from "../support/plain-buffer.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

const BYTES = 4096;
const wish = { width: 64, height: 32, pixelformat: fourcc("YUYV"), sizeimage: 0 };
const OWN = 4;

/** A node with a stream of pictures of BYTES bytes, and the buffers that came back. */
function openStream(loop: Loop, node: FakeOutput, given: Partial<Lending> = {}) {
  const returned: number[] = [];
  const lending: Lending = {
    loop,
    openHeap: () => memfdAllocator,
    returned: (index) => returned.push(index),
    failed: (error) => {
      throw error;
    },
    ...given,
  };
  const device = examineOutput(node);
  const stream = openOutputStream(node, device, agreeOnNodeFormat(node, device, wish), lending);
  node.shown.length = 0; // what was queued to find out whether the driver takes it
  return { stream, returned };
}

const noHeap = () => {
  throw new SysError("open", "/dev/dma_heap/system", errno.ENOENT);
};
const own = (value: number) => new Uint8Array(new ArrayBuffer(BYTES)).fill(value);

test("a dma-buf is shown where it is, in a slot of its own, and comes back when the driver has shown another", async () => {
  const left = await leftBehind(DMA_NAME, () =>
    onLoop(async (loop, signal) => {
      using node = new FakeOutput([BYTES], false);
      const { stream, returned } = openStream(loop, node);
      using _stream = stream;
      using first = dmaBuffer(BYTES);
      using second = dmaBuffer(BYTES);
      expect([stream.admit(0, first), stream.admit(1, second)]).toEqual([undefined, undefined]);
      node.holds = 1;
      expect(stream.lend(0, BYTES)).toBe("held");
      expect(stream.lend(1, BYTES)).toBe("held");
      expect(node.shown.map(({ index, planes }) => [index, planes[0]?.place])).toEqual([
        [OWN, first.fd.number],
        [OWN + 1, second.fd.number],
      ]);
      node.finish(1);
      await loop.sleep(20, signal);
      expect([returned, stream.lentCount]).toEqual([[0], 1]);
      expect(stream.lend(0, BYTES)).toBe("held");
      node.finish(0);
      await loop.sleep(20, signal);
      expect(returned).toEqual([0, 1, 0]);
    }),
  );
  expect(left).toEqual(nothing);
});

test("an output that is always writable does not keep the loop busy while it has a picture", () =>
  onLoop(async (loop, signal) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node);
    using _stream = stream;
    using buffer = dmaBuffer(BYTES);
    stream.admit(0, buffer);
    node.holds = 1;
    const ioctls = spyOn(node, "ioctl");
    stream.lend(0, BYTES);
    await loop.sleep(100, signal);
    expect(ioctls.mock.calls.length).toBeLessThan(6);
  }));

test("a driver gets four pictures at most; more are left out", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node);
    using _stream = stream;
    node.holds = 9;
    using buffers = new DisposableStack();
    const lent = Array.from({ length: 6 }, (_, i) => {
      stream.admit(i, buffers.use(dmaBuffer(BYTES)));
      return stream.lend(i, BYTES);
    });
    expect(lent).toEqual(["held", "held", "held", "held", "full", "full"]);
    // A stand-by picture has memory of its own.
    expect(stream.put(addressOf(own(1)), BYTES)).toBe(true);
  }));

test("a buffer that comes again while it is shown has to be copied", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node);
    using _stream = stream;
    using buffer = dmaBuffer(BYTES);
    stream.admit(0, buffer);
    node.holds = 9;
    expect([stream.lend(0, BYTES), stream.lend(0, BYTES)]).toEqual(["held", "refused"]);
  }));

test("the memory of a stream that has ended goes: our pictures take its slots, and nothing of it is returned", () =>
  onLoop(async (loop, signal) => {
    using node = new FakeOutput([BYTES], false);
    const { stream, returned } = openStream(loop, node);
    using _stream = stream;
    node.holds = 9;
    for (const index of [0, 1]) {
      using buffer = dmaBuffer(BYTES);
      stream.admit(index, buffer);
      stream.lend(index, BYTES);
    }
    stream.dismiss();
    expect(stream.put(addressOf(own(1)), BYTES)).toBe(true);
    node.finish(0);
    await loop.sleep(20, signal);
    for (const value of [2, 3, 4]) stream.put(addressOf(own(value)), BYTES);
    const slots = node.shown.map(({ index }) => index);
    expect(slots.slice(0, 2)).toEqual([OWN, OWN + 1]);
    expect(slots.slice(3, 5)).toEqual([OWN, OWN + 1]);
    expect(slots[5]).toBeLessThan(OWN);
    expect([returned, stream.lentCount]).toEqual([[], 0]);
  }));

test("a stream that is disposed gives back what is lent", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream, returned } = openStream(loop, node);
    using buffer = dmaBuffer(BYTES);
    stream.admit(0, buffer);
    node.holds = 9;
    stream.lend(0, BYTES);
    stream[Symbol.dispose]();
    expect(returned).toEqual([0]);
    expect([node.streaming, node.buffers]).toEqual([false, 0]);
  }));

test("without a DMA heap the driver gets user pointers: memfds are shown where they are, dma-bufs are copied", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node, { openHeap: noHeap });
    using _stream = stream;
    using memfd = memfdAllocator.allocate(BYTES);
    using dma = dmaBuffer(BYTES);
    expect(stream.admit(0, memfd)).toBeUndefined();
    expect(stream.admit(1, dma)).toBe(
      "open /dev/dma_heap/system: ENOENT (no such file or directory)",
    );
    stream.lend(0, BYTES);
    expect(node.shown[0]?.planes[0]?.place).toBe(memfd.mapping.address);
  }));

test.each([
  ["REQBUFS", "refusedTypes"],
  ["QBUF", "refusedAtQueueing"],
] as const)(
  "a driver that refuses memory of others at %s: pictures are copied into its own, and why is known",
  (call, refused) =>
    onLoop(async (loop) => {
      using node = new FakeOutput([BYTES], false);
      node[refused].add(v.V4L2_MEMORY_DMABUF).add(v.V4L2_MEMORY_USERPTR);
      const { stream } = openStream(loop, node);
      using _stream = stream;
      using buffer = dmaBuffer(BYTES);
      expect(stream.admit(0, buffer)).toBe(
        `VIDIOC_${call} /dev/video9 (DMABUF): EINVAL (invalid argument)`,
      );
      expect(stream.put(addressOf(own(7)), BYTES)).toBe(true);
      expect(node.pictures[0]).toEqual(own(7));
    }),
);

test("a driver that takes our dma-bufs and not the sender's: they are copied, said once", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node);
    using _stream = stream;
    using first = dmaBuffer(BYTES);
    using second = dmaBuffer(BYTES);
    stream.admit(0, first);
    stream.admit(1, second);
    node.refusedAtQueueing.add(v.V4L2_MEMORY_DMABUF);
    using said = spyOn(log, "info");
    expect([0, 1, 0].map((index) => stream.lend(index, BYTES))).toEqual(Array(3).fill("refused"));
    expect(said.mock.calls).toEqual([
      ["VIDIOC_QBUF /dev/video9 (DMABUF): EINVAL (invalid argument); each frame is copied once"],
    ]);
    node.refusedAtQueueing.clear();
    expect(stream.put(addressOf(own(1)), BYTES)).toBe(true);
  }));

test("memory that does not do is refused with the reason", () =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node);
    using _stream = stream;
    using small = dmaBuffer(BYTES - 1);
    expect(stream.admit(0, small)).toBe("its buffers have 4095 bytes, /dev/video9 needs 4096");
    expect(stream.admit(0, plainBuffer(own(1)))).toBe("its memory is no dma-buf");
    using fits = dmaBuffer(BYTES);
    expect(stream.admit(27, fits)).toBeUndefined();
    expect(stream.admit(28, fits)).toBe("it has more than 28 buffers");
    using two = new FakeOutput([BYTES, BYTES], true);
    const device = examineOutput(two);
    const format = agreeOnNodeFormat(two, device, { ...wish, pixelformat: fourcc("NM12") });
    const lending = { loop, openHeap: noHeap, returned: () => undefined, failed: () => undefined };
    using planes = openOutputStream(two, device, format, lending);
    expect(planes.admit(0, fits)).toBe("/dev/video9 has 2 memory planes");
    using loopback = new FakeLoopback().open();
    const what = examineOutput(loopback);
    const written = openOutputStream(loopback, what, agreeOnNodeFormat(loopback, what, wish));
    expect(written.admit(0, fits)).toBe("v4l2 loopback takes pictures by write()");
    expect(written.lend(0, BYTES)).toBe("refused");
  }));

test("a node that vanishes while it has pictures of others is reported", () =>
  onLoop(async (loop, signal) => {
    using node = new FakeOutput([BYTES], false);
    const failures: string[] = [];
    const { stream } = openStream(loop, node, { failed: (error) => failures.push(String(error)) });
    using _stream = stream;
    using buffer = dmaBuffer(BYTES);
    stream.admit(0, buffer);
    node.holds = 1;
    stream.lend(0, BYTES);
    await loop.sleep(10, signal);
    node.faults.set("VIDIOC_DQBUF", errno.ENODEV);
    node.finish(0);
    await loop.sleep(20, signal);
    expect(failures).toEqual(["SysError: VIDIOC_DQBUF /dev/video9: ENODEV (no such device)"]);
  }));

test("user pointers: memory where an earlier stream had its own is copied until the driver has let go of that", () =>
  onLoop(async (loop, signal) => {
    using node = new FakeOutput([BYTES], false);
    const { stream } = openStream(loop, node, { openHeap: noHeap });
    using _stream = stream;
    // As after a sender's return: the kernel maps new memory where the old was.
    using memfd = memfdAllocator.allocate(BYTES);
    stream.admit(0, memfd);
    expect(stream.lend(0, BYTES)).toBe("held");
    stream.dismiss();
    const why = "the driver still has memory of an earlier sender at the same address";
    expect(stream.admit(0, memfd)).toBe(why);
    expect([stream.admit(1, memfd), stream.lend(0, BYTES)]).toEqual([undefined, "refused"]);
    stream.dismiss();
    node.finish(0);
    await loop.sleep(20, signal);
    for (const value of [1, 2]) stream.put(addressOf(own(value)), BYTES);
    expect(stream.admit(0, memfd)).toBeUndefined();
  }));

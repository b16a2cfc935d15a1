// A camera that shows frames in the memory of their stream: what is copied, when the sender has its buffers back, and what
// happens when it leaves.
import { expect, spyOn, test } from "bun:test";
import { errno } from "../../../ffi/errno.ts";
import { log } from "../../../src/cli/log.ts";
import { fourcc } from "../../../src/format/formats.ts";
import { type FrameBuffer, memfdAllocator } from "../../../src/frame/memory.ts";
import type { StreamWriter } from "../../../src/frame/stream-output.ts";
import { type CameraOptions, CameraOutput } from "../../../src/output/camera/camera-output.ts";
import { quiet } from "../../support/camera-options.ts";
import { dmaBuffer } from "../../support/dma-buffer.ts";
import { FakeOutput } from "../../support/fake-output.ts";
import { fileOf } from "../../support/fake-output-file.ts";
import { onLoop } from "../../support/loop.ts";

quiet();

const BYTES = 64 * 48 * 2;
/** Of a buffer: whole pages. */
const SIZE = 8192;
const picture = { width: 64, height: 48, pixelformat: fourcc("YUYV"), sizeimage: BYTES };
const OWN = 4;

interface Rig {
  readonly camera: CameraOutput;
  readonly node: FakeOutput;
  readonly buffers: readonly (FrameBuffer & { readonly fd: { readonly number: number } })[];
  readonly returned: number[];
  readonly lost: unknown[];
  begin(): StreamWriter;
  readonly sleep: (ms: number) => Promise<void>;
}

/** A camera on a fake screen that keeps its last picture, as vivid does, and four buffers of a sender. */
async function withRig(task: (rig: Rig) => Promise<void>, given: Partial<CameraOptions> = {}) {
  await onLoop(async (loop, signal) => {
    using node = new FakeOutput([SIZE], false);
    using owned = new DisposableStack();
    const buffers = [0, 1, 2, 3].map((value) => owned.use(dmaBuffer(SIZE, value)));
    const returned: number[] = [];
    const lost: unknown[] = [];
    const options: CameraOptions = {
      ...{
        format: undefined,
        size: undefined,
        standby: "card",
        maxFrame: 1 << 26,
        fromStart: false,
      },
      where: () => "unix:/tmp/a",
      lost: (error) => lost.push(error),
      openHeap: () => memfdAllocator,
      ...given,
    };
    using camera = new CameraOutput(loop, () => fileOf(node), options);
    node.holds = 1;
    const begin = () => {
      const writer = camera.begin(picture, {
        ready: () => undefined,
        failed: (error) => lost.push(error),
        changed: () => undefined,
        returned: (index) => returned.push(index),
      });
      node.shown.length = 0; // what the driver was asked at the start
      for (const [index, buffer] of buffers.entries()) writer.add(index, buffer);
      return writer;
    };
    const sleep = (ms: number) => loop.sleep(ms, signal);
    await task({ camera, node, buffers, returned, lost, begin, sleep });
  });
}

const facts = { bytesused: BYTES, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };
const write = (writer: StreamWriter, index: number) => writer.write(index, facts);

test("frames are shown where they are: none of 100 is copied, and each buffer comes back with the next frame", () =>
  withRig(async ({ camera, node, buffers, returned, begin, sleep }) => {
    using writer = begin();
    for (let i = 0; i < 100; i++) {
      expect(write(writer, i % 4)).toBe("held");
      node.finish(1);
      await sleep(1);
    }
    expect([camera.frames, camera.copied, camera.leftOut]).toEqual([100, 0, 0]);
    // On a busy machine a frame may be the newest for so long that it is shown once more, from memory of ours.
    const ours = node.shown.filter(({ index }) => index < OWN).length;
    expect(returned.slice(0, 99)).toEqual(Array.from({ length: 99 }, (_, i) => i % 4));
    expect(returned.length).toBeLessThanOrEqual(99 + ours);
    const lent = node.shown.filter(({ index }) => index >= OWN);
    const places = lent.map(({ planes }) => planes[0]?.place);
    expect(places).toEqual(Array.from({ length: 100 }, (_, i) => buffers[i % 4]?.fd.number));
  }));

test("when no frame follows, the last one is copied and shown once more, so that its buffer comes back", () =>
  withRig(async ({ camera, node, returned, begin, sleep }) => {
    using writer = begin();
    write(writer, 2);
    await sleep(250);
    expect(node.shown.length).toBeGreaterThanOrEqual(2);
    expect(node.shown[1]?.index).toBeLessThan(OWN);
    node.finish(1);
    await sleep(20);
    expect(returned).toEqual([2]);
    expect([camera.frames, camera.copied]).toEqual([1, 0]);
  }));

test("a sender with too few buffers, or a slow one: after some copies each of its frames is copied from the start, said once", () =>
  withRig(async ({ camera, node, begin, sleep }) => {
    using said = spyOn(log, "info");
    using writer = begin();
    const taken: string[] = [];
    for (let i = 0; i < 8; i++) {
      taken.push(write(writer, 0));
      await sleep(200);
      node.finish(1);
      await sleep(20);
    }
    expect(taken.slice(0, 6)).toEqual(Array(6).fill("held"));
    expect(taken.slice(6)).toEqual(["taken", "taken"]);
    expect(camera.copied).toBe(2);
    const lines = said.mock.calls.filter(([line]) => String(line).includes("is copied once"));
    expect(lines.map(([line]) => line)).toEqual([
      "/dev/video9: each frame is copied once: fewer than 10 a second come, or the sender has too few buffers",
    ]);
  }));

test("a sender that was slow and is quick again: after 30 frames they are shown where they are", () =>
  withRig(async ({ camera, node, begin, sleep }) => {
    using writer = begin();
    for (let i = 0; i < 7; i++) {
      write(writer, 0);
      await sleep(200);
      node.finish(1);
      await sleep(20);
    }
    expect(camera.copied).toBe(1);
    // A pause on a busy machine begins the count again.
    let last: string | undefined;
    for (let i = 0; i < 400 && last !== "held"; i++) {
      last = write(writer, i % 4);
      node.finish(1);
      await sleep(1);
    }
    expect(last).toBe("held");
    expect(camera.copied).toBeGreaterThanOrEqual(30);
    expect(write(writer, 3)).toBe("held");
  }));

test("a sender that dies with buffers in the output: the card follows, takes their slots, and nothing is returned", () =>
  withRig(async ({ node, returned, begin, sleep }) => {
    node.holds = 9;
    const writer = begin();
    for (const index of [0, 1, 2]) expect(write(writer, index)).toBe("held");
    writer[Symbol.dispose]();
    await sleep(150);
    expect(node.shown.length).toBe(4); // the card, beside the three
    node.finish(1);
    await sleep(1600);
    const cards = node.shown.slice(4).map(({ index }) => index);
    expect(cards.slice(0, 3).toSorted()).toEqual([OWN, OWN + 1, OWN + 2]);
    expect(returned).toEqual([]);
    using next = begin();
    expect(write(next, 0)).toBe("held");
  }));

test("a node that is lost gives back the frames that it held", () =>
  withRig(async ({ camera, node, returned, begin }) => {
    node.holds = 9;
    using writer = begin();
    write(writer, 0);
    write(writer, 1);
    camera[Symbol.dispose]();
    expect(returned).toEqual([0, 1]);
  }));

test.each([
  ["another size", { size: { width: 32, height: 24 } }],
  ["another format", { format: "UYVY" }],
  ["--standby last", { standby: "last" as const }],
])("with %s every frame is copied", (_, given) =>
  withRig(async ({ camera, begin }) => {
    using writer = begin();
    expect([write(writer, 0), write(writer, 1)]).toEqual(["taken", "taken"]);
    expect([camera.frames, camera.copied]).toEqual([2, 2]);
  }, given),
);

test("memory that another sender may overwrite is copied, said once", () =>
  withRig(async ({ camera, buffers, begin }) => {
    using said = spyOn(log, "info");
    using writer = begin();
    const [first] = buffers;
    if (first === undefined) throw new Error("no buffer");
    writer.add(0, { ...first, changed: () => false });
    expect([write(writer, 0), write(writer, 0)]).toEqual(["taken", "taken"]);
    expect([camera.frames, camera.copied]).toEqual([2, 2]);
    expect(said.mock.calls.filter(([line]) => String(line).includes("is copied once"))).toEqual([
      ["/dev/video9: each frame is copied once: another sender may overwrite its memory"],
    ]);
  }));

test("a node that fails while it has frames of the sender is lost, with the call that failed", () =>
  withRig(async ({ node, lost, begin, sleep }) => {
    using writer = begin();
    write(writer, 0);
    await sleep(5);
    node.faults.set("VIDIOC_DQBUF", errno.ENODEV);
    node.finish(0);
    await sleep(20);
    expect(String(lost[0])).toBe("SysError: VIDIOC_DQBUF /dev/video9: ENODEV (no such device)");
  }));

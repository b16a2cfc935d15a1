// A running camera costs the runtime's heap nothing per frame: by write(), copied into a queue, and shown where frames are.

import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import * as v from "../../../ffi/linux/videodev2.ts";
import { fourcc } from "../../../src/format/formats.ts";
import { memfdAllocator } from "../../../src/frame/memory.ts";
import { CameraOutput } from "../../../src/output/camera/camera-output.ts";
import type { OutputNode } from "../../../src/v4l2/output-device.ts";
import { quiet } from "../../support/camera-options.ts";
import { dmaBuffer } from "../../support/dma-buffer.ts";
import { FakeOutput } from "../../support/fake-output.ts";
import { fileOf } from "../../support/fake-output-file.ts";
import { onLoop } from "../../support/loop.ts";

quiet();

const BYTES = 8192;
const picture = { width: 64, height: 64, pixelformat: fourcc("YUYV"), sizeimage: BYTES };
const facts = { bytesused: BYTES, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };
const FRAMES = 3000;
/** The runtime's own, whatever the number of frames. */
const MOST_OBJECTS = 200;

function objects(): number {
  Bun.gc(true);
  Bun.gc(true);
  return heapStats().objectCount;
}

/** The fake as v4l2loopback: pictures are taken by write(). */
function written(node: FakeOutput): OutputNode {
  node.driver = "v4l2 loopback";
  node.flags |= v.V4L2_CAP_READWRITE;
  return { ...fileOf(node), write: (_address, length) => length };
}

test.each([
  ["by write()", written, { copied: true, heap: true }],
  ["copied into the driver's buffers", fileOf, { copied: true, heap: false }],
  ["where they are", fileOf, { copied: false, heap: true }],
] as const)("3000 frames %s leave nothing on the heap", (_, open, { copied, heap }) =>
  onLoop(async (loop) => {
    using node = new FakeOutput([BYTES], false);
    using owned = new DisposableStack();
    const file = open(node);
    using camera = new CameraOutput(loop, () => file, {
      ...{
        format: undefined,
        size: undefined,
        standby: "card",
        maxFrame: 1 << 26,
        fromStart: false,
      },
      where: () => "",
      lost: (error) => {
        throw error;
      },
      openHeap: heap ? () => memfdAllocator : undefined,
    });
    let returned = 0;
    const nothing = () => undefined;
    using writer = camera.begin(picture, {
      ready: nothing,
      failed: nothing,
      changed: nothing,
      returned: () => {
        returned += 1;
      },
    });
    for (let i = 0; i < 4; i++) writer.add(i, owned.use(dmaBuffer(BYTES)));
    node.holds = 1;
    const run = (frames: number) => {
      for (let i = 0; i < frames; i++) {
        writer.write(i % 4, facts);
        node.shown.length = 0; // the fake keeps what it was asked
        node.pictures.length = 0;
      }
    };
    run(FRAMES); // until all code is compiled
    const before = objects();
    run(FRAMES);
    expect(objects() - before).toBeLessThan(MOST_OBJECTS);
    expect([camera.frames, camera.copied]).toEqual([2 * FRAMES, copied ? 2 * FRAMES : 0]);
    expect(returned).toBe(copied ? 0 : 2 * FRAMES - 2); // one is shown, one is next
  }),
);

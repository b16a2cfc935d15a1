// A video output that is taken away while a receiver has it and a file: what the file gets, and what stays behind.
import { expect, test } from "bun:test";
import { errno } from "../../../ffi/errno.ts";
import { fourcc } from "../../../src/format/formats.ts";
import type { StreamOutput } from "../../../src/frame/stream-output.ts";
import { CameraOutput } from "../../../src/output/camera/camera-output.ts";
import { Outputs } from "../../../src/output/outputs.ts";
import { quiet } from "../../support/camera-options.ts";
import { FakeOutput } from "../../support/fake-output.ts";
import { fileOf } from "../../support/fake-output-file.ts";
import { onLoop } from "../../support/loop.ts";
import { plainBuffer } from "../../support/plain-buffer.ts";
import { leftBehind, nothing } from "../../support/resources.ts";

quiet();

const picture = { width: 64, height: 48, pixelformat: fourcc("YUYV"), sizeimage: 6144 };
const facts = { bytesused: 6144, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };
const camera = {
  format: undefined,
  size: { width: 64, height: 48 },
  standby: "card",
  where: () => "",
} as const;

/** Counts the frames that it gets. */
class CountingFile implements StreamOutput {
  readonly name = "file";
  frames = 0;
  begin() {
    return {
      add: () => undefined,
      write: () => {
        this.frames += 1;
        return "taken" as const;
      },
      [Symbol.dispose]: () => undefined,
    };
  }
  [Symbol.dispose](): void {}
}

/** Every call on a device that is gone fails so. */
function vanish(node: FakeOutput): void {
  for (const call of ["QBUF", "DQBUF", "STREAMON", "STREAMOFF", "REQBUFS", "S_FMT", "S_PARM"])
    node.faults.set(`VIDIOC_${call}`, errno.ENODEV);
}

/** Runs a stream of ten frames into a file and a device that vanishes after `after` of them. */
async function stream(after: number, fromStart: boolean) {
  using node = new FakeOutput([8192], false);
  using outputs = new Outputs();
  const file = outputs.add(new CountingFile());
  await onLoop(async (loop, signal) => {
    const lost = (error: unknown) => outputs.fail(output, error);
    const output: CameraOutput = outputs.add(
      new CameraOutput(loop, () => fileOf(node), { ...camera, fromStart, lost, maxFrame: 1 << 26 }),
    );
    if (after === 0) vanish(node);
    if (fromStart) await loop.sleep(700, signal); // a stand-by picture is due
    using writer = outputs.begin(picture, {
      ready: () => undefined,
      failed: (error) => {
        throw error;
      },
      returned: () => undefined,
      changed: () => undefined,
    });
    writer.add(0, plainBuffer(new Uint8Array(new ArrayBuffer(6144))));
    for (let i = 1; i <= 10; i++) {
      writer.write(0, facts);
      if (i === after) vanish(node);
    }
  });
  return { frames: file.frames, failure: outputs.failure?.message };
}

test.each([
  ["in a stream", 3, false, /^VIDIOC_\w+ \/dev\/video9: ENODEV/],
  ["before the first frame", 0, false, /^VIDIOC_\w+ \/dev\/video9: ENODEV/],
  ["while it stands by", 0, true, /^VIDIOC_\w+ \/dev\/video9: ENODEV/],
])(
  "an output that vanishes %s is given up with its reason; the file gets every frame, nothing stays",
  async (_, after, fromStart, reason) => {
    const left = await leftBehind("fake-output", async () => {
      const { frames, failure } = await stream(after, fromStart);
      expect(frames).toBe(10);
      expect(failure).toMatch(reason);
    });
    expect(left).toEqual(nothing);
  },
);

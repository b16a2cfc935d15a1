// Making and removing the node of a camera: both generations of v4l2loopback's ioctls, and what is said where they fail.
import { expect, test } from "bun:test";
import { errno, SysError } from "../../../ffi/errno.ts";
import type { Ioctl } from "../../../ffi/ioctl.ts";
import type * as k from "../../../ffi/linux/v4l2loopback.ts";
import type { LoopbackCalls, LoopbackConfig } from "../../../ffi/v4l2loopback-control.ts";
import { UsageError } from "../../../src/errors.ts";
import { checkLabel, makeLoopback } from "../../../src/output/camera/loopback.ts";
import { quiet } from "../../support/camera-options.ts";
import { onLoop } from "../../support/loop.ts";

quiet();

/** The control device of a module of that version. */
class FakeControl implements LoopbackCalls {
  readonly calls: string[] = [];
  readonly made: Record<string, unknown>[] = [];
  readonly #version: number;
  addAnswer = 10;
  removeAnswers: number[] = [];
  disposed = 0;

  constructor(version: number) {
    this.#version = version;
  }
  version = () => this.#version;
  add(request: Ioctl<typeof k.v4l2LoopbackConfig.fields>, config: LoopbackConfig): number {
    this.calls.push(`ADD ${request.code.toString(16)}`);
    const { output_nr, card_label, max_buffers, announce_all_caps, max_width } = config;
    this.made.push({ output_nr, card_label, max_buffers, announce_all_caps, max_width });
    return this.addAnswer;
  }
  remove(request: { readonly code: number }, number: number): number {
    this.calls.push(`REMOVE ${request.code.toString(16)} ${number}`);
    return this.removeAnswers.shift() ?? 0;
  }
  [Symbol.dispose](): void {
    this.disposed += 1;
  }
}

const make = (control: FakeControl, exists = (_: string) => true, parameter = 8, label = "A") =>
  onLoop(async (loop, signal) => {
    const node = await makeLoopback(loop, label, signal, {
      open: () => control,
      exists,
      maxBuffers: () => parameter,
    });
    const path = node?.path;
    node?.[Symbol.dispose]();
    return path;
  });

async function failure(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it did not fail");
}

test.each([
  ["0.15", 0x000f_0004, 8, ["ADD 40487e01", "REMOVE 40047e02 10"]],
  ["0.13, which has no VERSION", -errno.ENOSYS, 4, ["ADD 4c80", "REMOVE 4c81 10"]],
])("%s: a node is made, and exactly that one removed", async (_, version, buffers, calls) => {
  const control = new FakeControl(version);
  expect(await make(control)).toBe("/dev/video10");
  expect(control.calls).toEqual(calls);
  expect(control.made).toEqual([
    { output_nr: -1, card_label: "A", max_buffers: buffers, announce_all_caps: 0, max_width: 0 },
  ]);
  expect(control.disposed).toBe(1);
});

test.each([
  ["0.13", -errno.ENOSYS, 2, 3],
  ["0.13, whose ring GStreamer would shorten to 4", -errno.ENOSYS, 8, 4],
  ["0.15", 0, 2, 8],
])(
  "%s with VERSION %d and the parameter max_buffers %d: a node has %d buffers",
  async (_, version, parameter, buffers) => {
    const control = new FakeControl(version);
    await make(control, () => true, parameter);
    expect(control.made[0]?.max_buffers).toBe(buffers);
  },
);

test("the node is waited for", async () => {
  let looks = 0;
  const control = new FakeControl(0);
  expect(await make(control, () => ++looks > 3)).toBe("/dev/video10");
  expect(looks).toBe(4);
});

test("a node that does not come is removed again", async () => {
  const control = new FakeControl(0);
  expect(await failure(() => make(control, () => false))).toContain(
    "/dev/video10: v4l2loopback made",
  );
  expect(control.calls.at(-1)).toBe("REMOVE 40047e02 10");
});

test("ADD that fails: nothing is removed", async () => {
  const control = new FakeControl(0);
  control.addAnswer = -errno.EPERM;
  expect(await failure(() => make(control))).toMatch(
    /^V4L2LOOPBACK_CTL_ADD .*EPERM.*; run as root$/,
  );
  expect(control.calls).toEqual(["ADD 40487e01"]);
  expect(control.disposed).toBe(1);
});

test("a program that closes the node late does not keep it", async () => {
  const control = new FakeControl(0);
  control.removeAnswers = [-errno.EBUSY, -errno.EBUSY];
  await make(control);
  expect(control.calls.filter((call) => call.startsWith("REMOVE")).length).toBe(3);
});

test("a node that a program keeps open stays, and the tool ends", async () => {
  const control = new FakeControl(0);
  control.removeAnswers = Array(1000).fill(-errno.EBUSY);
  expect(await make(control)).toBe("/dev/video10");
});

const opening = (code: number, there: readonly string[] = []) =>
  failure(() =>
    onLoop((loop, signal) =>
      makeLoopback(loop, "guest A", signal, {
        open: () => {
          throw new SysError("open", "/dev/v4l2loopback", code);
        },
        exists: (path) => there.includes(path),
        maxBuffers: () => 8,
      }),
    ),
  );

test("no module: the command that loads it and its package", async () => {
  expect(await opening(errno.ENOENT)).toBe(
    "open /dev/v4l2loopback: ENOENT (no such file or directory); modprobe v4l2loopback devices=0 max_buffers=8 (Debian package v4l2loopback-dkms)",
  );
});

test("Debian 12's 0.12 has no control device: how to load it with a camera", async () => {
  expect(await opening(errno.ENOENT, ["/sys/module/v4l2loopback"])).toContain(
    "rmmod v4l2loopback, modprobe v4l2loopback exclusive_caps=1 max_buffers=4 card_label='guest A', then --output /dev/videoN",
  );
});

test("no right: run as root", async () => {
  expect(await opening(errno.EACCES)).toContain("EACCES");
  expect(await opening(errno.EACCES)).toContain("run as root");
});

test.each(["", "a".repeat(32), "caf\u00e9", "a\nb"])("the label %j is refused", (label) => {
  expect(() => checkLabel(label)).toThrow(UsageError);
});

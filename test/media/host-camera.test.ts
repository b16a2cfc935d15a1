// A host's camera as a guest sees it: its formats, sizes, rates and controls. The fake answers as uvcvideo does.
import { expect, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../../src/errors.ts";
import { fourccName } from "../../src/format/formats.ts";
import { cameraOffers } from "../../src/media/camera-offers.ts";
import { hostCamera } from "../../src/media/host-camera.ts";
import { HostControls } from "../../src/media/host-controls.ts";
import { MediaError } from "../../src/media/media-error.ts";
import { unavailable } from "../../src/v4l2/device.ts";
import { codec, FakeNode, vivid, webcam } from "../support/fake-node.ts";

const shown = (node: FakeNode) =>
  cameraOffers(node).offers.map(({ pixelformat, description, sizes }) => ({
    format: `${fourccName(pixelformat)} (${description})`,
    sizes: sizes.map(
      ({ width, height, intervals }) =>
        `${width}x${height} ${intervals.map((i) => `${i.numerator}/${i.denominator}`).join(" ")}`,
    ),
  }));

test("a webcam's formats, sizes and rates are its own; what no stand-by picture can be made in is left out", () => {
  expect(shown(new FakeNode(webcam()))).toEqual([
    {
      format: "YUYV (YUYV 4:2:2)",
      sizes: ["640x480 1/30 1/24 1/15", "1280x720 1/10 1/5", "320x240 1/30 1/24 1/15"],
    },
    {
      format: "MJPG (Motion-JPEG)",
      sizes: ["640x480 1/30 1/24 1/15", "1280x720 1/10 1/5", "320x240 1/30 1/24 1/15"],
    },
  ]);
});

test("a camera with a range of sizes offers the usual ones within it", () => {
  const node = new FakeNode({
    ...webcam(),
    formats: {
      1: [
        {
          name: "YUYV",
          description: "YUYV 4:2:2",
          sizes: { range: [320, 240, 1280, 720, 2] },
        },
      ],
    },
  });
  expect(shown(node)[0]?.sizes.map((size) => size.split(" ")[0])).toEqual([
    "640x480",
    "320x240",
    "1280x720",
    "800x600",
  ]);
});

test("a camera with nothing to offer is refused at the start", () => {
  const node = new FakeNode({ ...webcam(), formats: { 1: [] } });
  expect(() => cameraOffers(node)).toThrow(UnavailableError);
  expect(() => cameraOffers(new FakeNode(codec("encoder")))).toThrow(UnavailableError);
});

test("formats with separate memory planes are offered as the format that they are joined to", () => {
  const node = new FakeNode({
    ...vivid(),
    formats: {
      1: [{ name: "NM12", description: "Y/UV 4:2:0 (N-C)", sizes: [{ size: [640, 480] }] }],
    },
  });
  const { offers, asked } = cameraOffers(node);
  expect(offers.map(({ pixelformat }) => fourccName(pixelformat))).toEqual(["NV12"]);
  expect([...asked.values()].map(fourccName)).toEqual(["NM12"]);
});

const controlsOf = (node: FakeNode) => new HostControls((what) => what(node));
const named = (controls: HostControls, name: string) => {
  const row = controls.rows.find((one) => one.name === name);
  if (row === undefined) throw new Error(`no control ${name}`);
  return row;
};

test("its controls are those of the driver, with headings and without texts", () => {
  const controls = controlsOf(new FakeNode(webcam()));
  const ids = controls.rows.map(({ id }) => id);
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  const power = named(controls, "Power Line Frequency");
  expect(power.type).toBe(v.V4L2_CTRL_TYPE_MENU);
  expect(power.menu.map(({ value }) => value)).toEqual(["Disabled", "50 Hz", "60 Hz"]);
  expect(controls.rows.some(({ type }) => type === v.V4L2_CTRL_TYPE_STRING)).toBe(false);
  expect(controls.rows.some(({ type }) => type === v.V4L2_CTRL_TYPE_CTRL_CLASS)).toBe(true);
});

test("a value that a guest sets reaches the camera, and is set again after it was plugged in again", () => {
  const node = new FakeNode(webcam());
  const controls = controlsOf(node);
  expect(controls.set(named(controls, "Brightness"), 99n)).toBe(99n);
  expect(node.control("Brightness").value).toBe(99);
  expect(controls.get(named(controls, "Brightness"))).toBe(99n);
  const again = new FakeNode(webcam());
  controls.restore(again);
  expect(again.control("Brightness").value).toBe(99);
});

test.each([
  [errno.EACCES, "EACCES"],
  [errno.EBUSY, "EBUSY"],
  [errno.ERANGE, "ERANGE"],
  [errno.EINVAL, "EINVAL"],
  [errno.EPIPE, "EIO"],
] as const)("a camera that refuses a value with %d: the guest gets %s", (code, wanted) => {
  const node = new FakeNode(webcam());
  const controls = controlsOf(node);
  node.answer(v.VIDIOC_S_CTRL, () => -code);
  const refused = controls.set(named(controls, "Brightness"), 1n);
  expect(refused instanceof MediaError && refused.code).toBe(wanted);
});

test("a camera that is unplugged costs the guest an EIO", () => {
  const node = new FakeNode(webcam());
  let there = true;
  const controls = new HostControls((what) => {
    if (!there) throw unavailable(new SysError("open", "/dev/video0", errno.ENODEV));
    return what(node);
  });
  there = false;
  for (const answer of [
    controls.get(named(controls, "Brightness")),
    controls.set(named(controls, "Brightness"), 1n),
  ])
    expect(answer instanceof MediaError && answer.code).toBe("EIO");
});

test("the node is open only while it is asked", () => {
  const nodes: FakeNode[] = [];
  const source = hostCamera({
    name: "webcam",
    openNode: () => {
      const node = new FakeNode(webcam());
      nodes.push(node);
      return node;
    },
    open: () => {
      throw new Error("not streamed here");
    },
    controls: true,
  });
  expect(nodes.length).toBeGreaterThan(0);
  expect(nodes.every(({ closed }) => closed)).toBe(true);
  const { controls } = source;
  if (controls === undefined) throw new Error("no controls");
  controls.get(controls.rows.find(({ name }) => name === "Brightness") as never);
  expect(nodes.every(({ closed }) => closed)).toBe(true);
  expect(source.isOpen).toBe(false);
});

test("without controls the guest sees none", () => {
  const source = hostCamera({
    name: "webcam",
    openNode: () => new FakeNode(webcam()),
    open: () => {
      throw new Error("not streamed here");
    },
    controls: false,
  });
  expect(source.controls).toBeUndefined();
});

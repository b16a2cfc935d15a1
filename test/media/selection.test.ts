// Cropping, where the host's camera can: a guest's rectangle reaches the camera, which fits it.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { hostSelections } from "../../src/media/host-selections.ts";
import { MediaError } from "../../src/media/media-error.ts";
import { FakeNode, webcam } from "../support/fake-node.ts";
import { FakeSource, MediaDriver } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

const BOUNDS = { left: 0, top: 0, width: 1280, height: 720 };

/** A camera that crops to multiples of 8. */
function cropping(): FakeNode {
  let crop = { ...BOUNDS };
  const put = (
    q: ReturnType<typeof v.v4l2Selection.alloc>,
    { left, top, width, height }: typeof BOUNDS,
  ) => {
    Object.assign(q, { "r.left": left, "r.top": top, "r.width": width, "r.height": height });
    return 0;
  };
  return new FakeNode(webcam())
    .answer(v.VIDIOC_G_SELECTION, (q) => put(q, q.target === 0 ? crop : BOUNDS))
    .answer(v.VIDIOC_S_SELECTION, (q) => {
      if (q["r.width"] === 0) return -errno.ERANGE;
      crop = {
        left: q["r.left"],
        top: q["r.top"],
        width: Math.min(1280, q["r.width"] & ~7),
        height: Math.min(720, q["r.height"] & ~7),
      };
      return put(q, crop);
    });
}

function open() {
  const node = cropping();
  const source = new FakeSource();
  source.selections = hostSelections((what) => what(node));
  const driver = new MediaDriver({ source });
  return { driver, program: new MediaProgram(driver) };
}

const call = (
  { driver, program }: ReturnType<typeof open>,
  row: typeof v.VIDIOC_G_SELECTION,
  { target = 0, flags = 0, width = 0, height = 0, type = 1 },
) =>
  driver.ioctl(program.session, row, (q) => {
    Object.assign(q, { type, target, flags, "r.width": width, "r.height": height });
  });

test("the bounds and the rectangle are the camera's, and a guest's wish is fitted by it", () => {
  const scene = open();
  using _driver = scene.driver;
  for (const target of [1, 2])
    expect(call(scene, v.VIDIOC_G_SELECTION, { target }).q).toMatchObject({
      "r.width": 1280,
      target,
    });
  const { status, q } = call(scene, v.VIDIOC_S_SELECTION, { width: 645, height: 363 });
  expect([status, q["r.width"], q["r.height"]]).toEqual([0, 640, 360]);
  expect(call(scene, v.VIDIOC_G_SELECTION, {}).q["r.width"]).toBe(640);
});

test.each([
  ["another target", { target: 0x100 }, errno.EINVAL],
  ["the bounds", { target: 2, width: 8, height: 8 }, errno.EINVAL],
  ["another buffer type", { type: 2, width: 8, height: 8 }, errno.EINVAL],
  ["unknown flags", { flags: 8, width: 8, height: 8 }, errno.EINVAL],
  ["nothing", { width: 0, height: 8 }, errno.ERANGE],
])("S_SELECTION of %s is refused", (_, wish, code) => {
  const scene = open();
  using _driver = scene.driver;
  expect(call(scene, v.VIDIOC_S_SELECTION, wish).status).toBe(code);
});

test("the rectangle stays while there are buffers", () => {
  const scene = open();
  using _driver = scene.driver;
  scene.program.request(1);
  expect(call(scene, v.VIDIOC_S_SELECTION, { width: 8, height: 8 }).status).toBe(errno.EBUSY);
  expect(call(scene, v.VIDIOC_G_SELECTION, {}).status).toBe(0);
});

test("a camera that cannot crop answers ENOTTY", () => {
  expect(hostSelections((what) => what(new FakeNode(webcam())))).toBeUndefined();
  using driver = new MediaDriver();
  const scene = { driver, program: new MediaProgram(driver) };
  for (const row of [v.VIDIOC_G_SELECTION, v.VIDIOC_S_SELECTION])
    expect(call(scene, row, {}).status).toBe(errno.ENOTTY);
});

test("a camera that refuses for another reason costs the guest an EIO", () => {
  const node = cropping();
  const selections = hostSelections((what) => what(node));
  node.answer(v.VIDIOC_G_SELECTION, () => -errno.EPIPE);
  const got = selections?.get(0);
  expect(got instanceof MediaError && got.code).toBe("EIO");
});

test("buffers of before the monitor's region was lost can be freed", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(2);
  driver.hasRegion = false;
  program.off();
  expect(program.request(0).status).toBe(0);
  expect(program.request(2).status).toBe(errno.EINVAL);
  expect(program.request(2, v.V4L2_MEMORY_USERPTR).status).toBe(0);
});

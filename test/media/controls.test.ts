// Controls as guests see them: queries, values, arrays of values, events.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import {
  BRIGHTNESS,
  BROKEN,
  BUTTON,
  FakeControls,
  FIXED,
  LONG,
  MASK,
  MENU,
  USER_CLASS,
} from "../support/fake-controls.ts";
import { FakeSource, MediaDriver } from "../support/media-driver.ts";

const NEXT = v.V4L2_CTRL_FLAG_NEXT_CTRL;
const ANY = (NEXT | v.V4L2_CTRL_FLAG_NEXT_COMPOUND) >>> 0;

function open() {
  const controls = new FakeControls();
  const driver = new MediaDriver({ source: new FakeSource(undefined, controls) });
  return { driver, controls, session: driver.open() };
}

const query = (driver: MediaDriver, session: number, id: number) =>
  driver.ioctl(session, v.VIDIOC_QUERY_EXT_CTRL, (q) => {
    q.id = id >>> 0;
  });

test.each([
  ["QUERY_EXT_CTRL", v.VIDIOC_QUERY_EXT_CTRL, ANY],
  ["QUERYCTRL", v.VIDIOC_QUERYCTRL, NEXT],
] as const)("%s walks all controls in the order of their ids", (_, call, flags) => {
  const { driver: used, session } = open();
  using driver = used;
  const found: number[] = [];
  for (let id = 0; ; ) {
    const wish = (id | flags) >>> 0;
    const { status, q } = driver.ioctl(session, call as typeof v.VIDIOC_QUERYCTRL, (asked) => {
      asked.id = wish;
    });
    if (status !== 0) {
      expect(status).toBe(errno.EINVAL);
      break;
    }
    id = q.id;
    found.push(id);
  }
  expect(found).toEqual([USER_CLASS, BRIGHTNESS, MENU, MASK, BUTTON, LONG, FIXED, BROKEN]);
});

test("a control is described with its range; 64 bits do not fit into the old call", () => {
  const { driver: used, session } = open();
  using driver = used;
  const { q } = query(driver, session, LONG);
  expect([q.name, q.minimum, q.maximum, q.elem_size, q.elems]).toEqual([
    "Large",
    -(1n << 40n),
    1n << 40n,
    8,
    1,
  ]);
  const old = driver.ioctl(session, v.VIDIOC_QUERYCTRL, (asked) => {
    asked.id = LONG;
  });
  expect([old.status, old.q.minimum, old.q.maximum]).toEqual([0, 0, 0]);
  const bright = query(driver, session, BRIGHTNESS).q;
  expect([bright.minimum, bright.maximum, bright.step, bright.default_value]).toEqual([
    -10n,
    255n,
    5n,
    50n,
  ]);
  expect(query(driver, session, 0xdead).status).toBe(errno.EINVAL);
  expect(query(driver, session, v.V4L2_CTRL_FLAG_NEXT_COMPOUND).status).toBe(errno.EINVAL);
});

test("a camera without controls answers ENOTTY, so that programs stop asking", () => {
  using driver = new MediaDriver();
  const session = driver.open();
  for (const call of [
    v.VIDIOC_QUERYCTRL,
    v.VIDIOC_QUERY_EXT_CTRL,
    v.VIDIOC_QUERYMENU,
    v.VIDIOC_G_CTRL,
    v.VIDIOC_S_CTRL,
    v.VIDIOC_G_EXT_CTRLS,
    v.VIDIOC_S_EXT_CTRLS,
    v.VIDIOC_TRY_EXT_CTRLS,
  ] as Ioctl<never>[]) {
    const { status, sent } = driver.ioctl(session, call);
    expect(status).toBe(errno.ENOTTY);
    expect(sent.reply?.length).toBe(8);
  }
});

test("a menu has the entries that the device has", () => {
  const { driver: used, session } = open();
  using driver = used;
  const entry = (index: number, id = MENU) =>
    driver.ioctl(session, v.VIDIOC_QUERYMENU, (q) => {
      q.id = id;
      q.index = index;
    });
  expect([0, 1, 3].map((i) => entry(i).q.name)).toEqual(["Disabled", "50 Hz", "Auto"]);
  for (const index of [2, 4, 0xffff_ffff]) expect(entry(index).status).toBe(errno.EINVAL);
  expect(entry(0, BRIGHTNESS).status).toBe(errno.EINVAL);
});

const set = (driver: MediaDriver, session: number, id: number, value: number) =>
  driver.ioctl(session, v.VIDIOC_S_CTRL, (q) => {
    q.id = id;
    q.value = value;
  });
const get = (driver: MediaDriver, session: number, id: number) =>
  driver.ioctl(session, v.VIDIOC_G_CTRL, (q) => {
    q.id = id;
  });

test("S_CTRL sets what is in range, on the steps of the control", () => {
  const { driver: used, session, controls } = open();
  using driver = used;
  expect(set(driver, session, BRIGHTNESS, 7).q.value).toBe(5);
  expect(get(driver, session, BRIGHTNESS).q.value).toBe(5);
  expect(set(driver, session, BRIGHTNESS, -10).q.value).toBe(-10);
  expect(set(driver, session, MASK, 0x8000_0001 | 0).status).toBe(0);
  expect(controls.values.get(MASK)).toBe(0x8000_0001n);
  expect(set(driver, session, BUTTON, 99).status).toBe(0);
});

test.each([
  ["below the range", BRIGHTNESS, -11, errno.ERANGE],
  ["above the range", BRIGHTNESS, 256, errno.ERANGE],
  ["an entry that the menu has not", MENU, 2, errno.EINVAL],
  ["bits that the mask has not", MASK, 2, errno.ERANGE],
  ["a read-only control", FIXED, 1, errno.EACCES],
  ["a heading", USER_CLASS, 0, errno.EACCES],
  ["64 bits", LONG, 1, errno.EINVAL],
  ["an unknown control", 0x0098_0999, 1, errno.EINVAL],
  ["a control that the device refuses", BROKEN, 1, errno.EIO],
] as const)("S_CTRL of %s is refused", (_, id, value, code) => {
  const { driver: used, session, controls } = open();
  using driver = used;
  const before = [...controls.values];
  expect(set(driver, session, id, value).status).toBe(code);
  expect([...controls.values]).toEqual(before);
});

test("a control that is only written cannot be read", () => {
  const { driver: used, session } = open();
  using driver = used;
  expect(get(driver, session, BUTTON).status).toBe(errno.EACCES);
  expect(get(driver, session, LONG).status).toBe(errno.EINVAL);
});

const arrayOf = (...values: readonly (readonly [number, bigint])[]) => {
  const { size } = v.v4l2ExtControl;
  const bytes = new Uint8Array(new ArrayBuffer(size * values.length));
  for (const [i, [id, value]] of values.entries()) {
    const one = v.v4l2ExtControl.over(bytes, i * size);
    one.id = id;
    one.value64 = value;
  }
  return bytes;
};

const many = (
  { driver, session }: ReturnType<typeof open>,
  call: typeof v.VIDIOC_S_EXT_CTRLS,
  tail: Uint8Array<ArrayBuffer>,
  { which = 0, count = tail.length / v.v4l2ExtControl.size } = {},
) =>
  driver.ioctl(
    session,
    call,
    (q) => {
      q.which = which;
      q.count = count;
      q.controls = 0x7fff_1234_5678;
    },
    { tail },
  );

const valueIn = (tail: Uint8Array<ArrayBuffer>, i: number) =>
  v.v4l2ExtControl.over(tail, i * v.v4l2ExtControl.size).value64;

test("arrays of controls are set and read, and the guest's pointer comes back", () => {
  const scene = open();
  using _driver = scene.driver;
  const sent = many(scene, v.VIDIOC_S_EXT_CTRLS, arrayOf([BRIGHTNESS, 42n], [LONG, -(1n << 39n)]));
  expect(sent.status).toBe(0);
  expect(sent.q.controls).toBe(0x7fff_1234_5678);
  expect(valueIn(sent.tail, 0)).toBe(40n);
  const read = many(scene, v.VIDIOC_G_EXT_CTRLS, arrayOf([BRIGHTNESS, 0n], [LONG, 0n]));
  expect([valueIn(read.tail, 0), valueIn(read.tail, 1)]).toEqual([40n, -(1n << 39n)]);
  const defaults = many(scene, v.VIDIOC_G_EXT_CTRLS, arrayOf([BRIGHTNESS, 0n]), {
    which: v.V4L2_CTRL_WHICH_DEF_VAL,
  });
  expect(valueIn(defaults.tail, 0)).toBe(50n);
});

test("TRY_EXT_CTRLS changes nothing and says which control is wrong; S_EXT_CTRLS says the count", () => {
  const scene = open();
  using _driver = scene.driver;
  const before = [...scene.controls.values];
  const list = () => arrayOf([BRIGHTNESS, 9n], [BRIGHTNESS, 1000n], [BRIGHTNESS, 9n]);
  const tried = many(scene, v.VIDIOC_TRY_EXT_CTRLS, list());
  expect([tried.status, tried.q.error_idx, tried.tail.length]).toEqual([errno.ERANGE, 1, 60]);
  const put = many(scene, v.VIDIOC_S_EXT_CTRLS, list());
  expect([put.status, put.q.error_idx, put.q.count]).toEqual([errno.ERANGE, 3, 3]);
  expect([...scene.controls.values]).toEqual(before);
  const stopped = many(scene, v.VIDIOC_S_EXT_CTRLS, arrayOf([BRIGHTNESS, 0n], [BROKEN, 1n]));
  expect([stopped.status, stopped.q.error_idx]).toEqual([errno.EIO, 1]);
});

test("a count of 0 succeeds for a class that exists and for 0", () => {
  const scene = open();
  using _driver = scene.driver;
  const none = arrayOf();
  for (const which of [0, 0x0098_0000])
    expect(many(scene, v.VIDIOC_TRY_EXT_CTRLS, none, { which }).status).toBe(0);
  expect(many(scene, v.VIDIOC_TRY_EXT_CTRLS, none, { which: 0x0099_0000 }).status).toBe(
    errno.EINVAL,
  );
});

test.each([
  ["a count of 2^32-1", { count: 0xffff_ffff }],
  ["a count of more than the array has", { count: 3 }],
  ["a count of less than the array has", { count: 1 }],
  ["another class", { which: 0x0099_0000 }],
  ["an unknown value of which", { which: 0x1234 }],
])("%s is refused, and the array comes back unchanged", (_, wish) => {
  const scene = open();
  using _driver = scene.driver;
  const tail = arrayOf([BRIGHTNESS, 9n], [BRIGHTNESS, 9n]);
  const answer = many(scene, v.VIDIOC_S_EXT_CTRLS, tail.slice(), wish);
  expect(answer.status).toBe(errno.EINVAL);
  expect(answer.tail).toEqual(tail);
});

test("a control with a payload and an array of more than 256 are refused", () => {
  const scene = open();
  using _driver = scene.driver;
  const tail = arrayOf([BRIGHTNESS, 9n]);
  v.v4l2ExtControl.over(tail).size = 0xffff_ffff;
  expect(many(scene, v.VIDIOC_S_EXT_CTRLS, tail).status).toBe(errno.EINVAL);
  const long = arrayOf(...Array.from({ length: 257 }, () => [BRIGHTNESS, 9n] as const));
  expect(many(scene, v.VIDIOC_S_EXT_CTRLS, long).status).toBe(errno.EINVAL);
});

const subscribe = (driver: MediaDriver, session: number, id: number, flags = 0) =>
  driver.ioctl(session, v.VIDIOC_SUBSCRIBE_EVENT, (q) => {
    q.type = v.V4L2_EVENT_CTRL;
    q.id = id;
    q.flags = flags;
  }).status;

test("the first event of a subscription is in the ring before the answer", () => {
  const { driver: used, session } = open();
  using driver = used;
  expect(subscribe(driver, session, BRIGHTNESS, v.V4L2_EVENT_SUB_FL_SEND_INITIAL)).toBe(0);
  const [event] = driver.events;
  expect(event?.type).toBe(v.V4L2_EVENT_CTRL);
  expect([event?.id, event?.["u.ctrl.value"], event?.["u.ctrl.maximum"]]).toEqual([
    BRIGHTNESS,
    50,
    255,
  ]);
  expect(driver.lastEventOrder).toBeLessThan(driver.lastAnswer?.order ?? 0);
});

test("a subscription to a heading brings no event", () => {
  const { driver: used, session } = open();
  using driver = used;
  expect(subscribe(driver, session, USER_CLASS, v.V4L2_EVENT_SUB_FL_SEND_INITIAL)).toBe(0);
  expect(driver.events).toEqual([]);
});

test("another session's change is told, one's own only with ALLOW_FEEDBACK, and an unsubscribed one not", () => {
  const { driver: used, session } = open();
  using driver = used;
  const other = driver.open();
  subscribe(driver, session, BRIGHTNESS);
  set(driver, session, BRIGHTNESS, 10);
  expect(driver.events.length).toBe(0);
  set(driver, other, BRIGHTNESS, 20);
  expect(driver.events.map((event) => event["u.ctrl.value"])).toEqual([20]);
  subscribe(driver, session, BRIGHTNESS, v.V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK);
  set(driver, session, BRIGHTNESS, 30);
  expect(driver.events.length).toBe(2);
  const end = driver.ioctl(session, v.VIDIOC_UNSUBSCRIBE_EVENT, () => undefined);
  expect(end.status).toBe(0);
  set(driver, other, BRIGHTNESS, 40);
  expect(driver.events.length).toBe(2);
});

test("of many changes one event waits, the newest", () => {
  const controls = new FakeControls();
  using driver = new MediaDriver({
    source: new FakeSource(undefined, controls),
    eventBuffers: 0,
  });
  const session = driver.open();
  const other = driver.open();
  subscribe(driver, session, BRIGHTNESS);
  for (let value = 0; value <= 200; value += 5) set(driver, other, BRIGHTNESS, value);
  driver.post();
  driver.post();
  expect(driver.events.map((event) => event["u.ctrl.value"])).toEqual([200]);
});

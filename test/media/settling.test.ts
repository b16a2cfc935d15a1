// STREAMOFF, REQBUFS and CLOSE are answered when the guest has processed its events: a driver that posts its event buffers again at
// once, late, one by one, or never.
import { expect, test } from "bun:test";
import * as v from "../../ffi/linux/videodev2.ts";
import { NEVER_MS, TICK_MS } from "../../src/media/answer-time.ts";
import { MediaDriver, statusOf } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

/** A stream whose driver has not processed the events of `pictures` pictures. */
function behind(driver: MediaDriver, pictures: number): MediaProgram {
  const program = new MediaProgram(driver);
  program.stream(4);
  driver.repost = false;
  for (let i = 0; i < pictures; i++) driver.source.show(i + 1);
  expect(driver.frames.length).toBe(pictures);
  return program;
}

const off = ({ driver, session }: MediaProgram) =>
  driver.ioctl(session, v.VIDIOC_STREAMOFF, (q) => {
    q.value = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  }).sent;

const endings = [
  { name: "STREAMOFF", send: off, answer: 8 },
  { name: "REQBUFS(0)", send: (program: MediaProgram) => program.request(0).sent, answer: 28 },
  {
    name: "CLOSE",
    send: ({ driver, session }: MediaProgram) => driver.close(session),
    answer: 0,
  },
];

test.each(endings)(
  "$name is answered at once when all events are processed",
  ({ send, answer }) => {
    using driver = new MediaDriver();
    const program = behind(driver, 0);
    expect(send(program).reply?.length).toBe(answer);
  },
);

test.each(endings)(
  "$name waits for the last of the event buffers that were used before it",
  ({ send, answer }) => {
    using driver = new MediaDriver();
    const program = behind(driver, 3);
    const sent = send(program);
    expect(sent.held).toBe(true);
    driver.post();
    driver.post();
    expect(sent.held).toBe(true);
    driver.post();
    expect(sent.reply?.length).toBe(answer);
    if (answer > 0) expect(statusOf(sent)).toBe(0);
    driver.pass(2000);
    expect(sent.answers).toBe(1);
  },
);

test.each(endings)(
  "$name is answered within 500 ms to a driver that never posts again",
  ({ send, answer }) => {
    using driver = new MediaDriver();
    const program = behind(driver, 2);
    const sent = send(program);
    const { timers } = driver.loop;
    driver.pass(TICK_MS);
    expect(sent.held).toBe(true);
    driver.pass(500 - TICK_MS);
    expect(sent.reply?.length).toBe(answer);
    expect(driver.loop.timers).toBe(timers);
  },
);

test("the answer of REQBUFS that waits is not mixed up with those that are given meanwhile", () => {
  using driver = new MediaDriver();
  const program = behind(driver, 1);
  expect(statusOf(off(program))).toBe(-1);
  const { sent } = program.request(3);
  expect(sent.held).toBe(true);
  expect(driver.ioctl(program.session, v.VIDIOC_G_INPUT).status).toBe(0);
  driver.post();
  expect(statusOf(sent)).toBe(0);
  expect(v.v4l2Requestbuffers.over(sent.reply as Uint8Array<ArrayBuffer>, 8)).toMatchObject({
    count: 3,
    type: v.V4L2_BUF_TYPE_VIDEO_CAPTURE,
    memory: v.V4L2_MEMORY_MMAP,
  });
});

test("other sessions go on while an answer waits, and their events do not prolong the wait", () => {
  using driver = new MediaDriver();
  const program = behind(driver, 1);
  const sent = driver.close(program.session);
  expect(sent.held).toBe(true);
  const other = new MediaProgram(driver);
  expect(statusOf(other.request(2).sent)).toBe(-1); // it would free buffers that have events
  other.map(0);
  other.queue(0);
  expect(other.on()).toBe(0);
  driver.source.show(9);
  expect(driver.frames.at(-1)?.session).toBe(other.session);
  driver.post();
  expect(sent.held).toBe(false);
});

test("no event of a stream comes after its STREAMOFF, also not while the answer waits", () => {
  using driver = new MediaDriver({ eventBuffers: 1 });
  const program = behind(driver, 1);
  driver.source.show(2); // its event has no buffer
  const sent = off(program);
  driver.post();
  expect(sent.held).toBe(false);
  driver.post();
  expect(driver.frames.length).toBe(1);
});

test("a refused STREAMOFF does not wait", () => {
  using driver = new MediaDriver();
  behind(driver, 1);
  const other = new MediaProgram(driver);
  expect(off(other).held).toBe(false);
});

test("an answer that waits is not given after a reset, nor when this process was stopped for too long", () => {
  using driver = new MediaDriver();
  const lost = driver.close(behind(driver, 1).session);
  driver.reset();
  driver.repost = true;
  driver.frames.length = 0;
  driver.start();
  driver.pass(1000);
  expect(lost.held).toBe(true);
  const late = off(behind(driver, 1));
  driver.stopProcess(NEVER_MS);
  driver.post();
  driver.pass(1000);
  expect(late.held).toBe(true);
});

test("while the machine is paused the wait goes on", () => {
  using driver = new MediaDriver();
  const sent = off(behind(driver, 1));
  driver.device.pause();
  driver.pass(1000);
  expect(sent.held).toBe(true);
  driver.device.resume();
  driver.post();
  expect(statusOf(sent)).toBe(0);
});

test("a driver that posts more buffers than it had does not shorten a later wait", () => {
  using driver = new MediaDriver();
  for (let i = 0; i < 5; i++) driver.post();
  const sent = off(behind(driver, 1));
  expect(sent.held).toBe(true);
  driver.post();
  expect(sent.held).toBe(false);
});

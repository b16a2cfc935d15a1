// A command is answered within 3 s, or never: an answer that comes later than 5 s panics a guest with the Linux driver.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { LIMIT_MS, NEVER_MS, TICK_MS } from "../../src/media/answer-time.ts";
import * as p from "../../src/media/protocol.ts";
import { MediaDriver, statusOf } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

/** Sends MMAP to a monitor that answers only when it is told to. */
function waiting(driver: MediaDriver, program: MediaProgram) {
  program.request(1);
  driver.region.mode = "late";
  return driver.mmap(program.session, program.query(0).q["m.offset"]);
}

test("a command that waits for the monitor gets ENOMEM before 3 s, and its later answer is not sent", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  const sent = waiting(driver, program);
  driver.pass(LIMIT_MS - 2 * TICK_MS);
  expect(sent.held).toBe(true);
  driver.pass(2 * TICK_MS);
  expect(statusOf(sent)).toBe(errno.ENOMEM);
  driver.region.answerLate();
  expect(sent.answers).toBe(1);
});

test("after a pause of this process a command that waited is never answered", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  const sent = waiting(driver, program);
  driver.stopProcess(6000);
  driver.region.answerLate(); // the first thing that the loop sees
  driver.pass(10 * TICK_MS);
  expect(sent.held).toBe(true);
});

test("commands that were queued while this process was stopped are never answered", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  driver.pass(1000);
  driver.stopProcess(6000);
  const stale = [
    driver.ioctl(program.session, v.VIDIOC_G_INPUT).sent,
    driver.raw(p.header.alloc().$bytes, 16),
    driver.raw(new Uint8Array(3), 16),
    driver.munmapSent(0n),
  ];
  driver.loop.run(); // the timer of the first turn
  stale.push(driver.ioctl(program.session, v.VIDIOC_G_INPUT).sent);
  expect(stale.map(({ held }) => held)).toEqual(stale.map(() => true));
  driver.pass(2 * TICK_MS);
  expect(driver.ioctl(program.session, v.VIDIOC_G_INPUT).status).toBe(0);
  expect(stale.every(({ held }) => held)).toBe(true);
});

test("a pause of up to 4 s costs nothing", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  driver.pass(1000);
  driver.stopProcess(NEVER_MS - 3 * TICK_MS);
  expect(driver.ioctl(program.session, v.VIDIOC_G_INPUT).status).toBe(0);
});

test("a CLOSE during a pause is not returned, but the session and its buffers are gone", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(2);
  driver.stopProcess(6000);
  expect(driver.close(program.session).held).toBe(true);
  driver.pass(4 * TICK_MS);
  expect(program.query(0).status).toBe(errno.EINVAL);
  const next = new MediaProgram(driver);
  expect(next.request(2).status).toBe(0);
});

test("pictures go on after a pause of this process", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(4);
  driver.source.show(1);
  driver.stopProcess(6000);
  driver.source.show(2);
  expect(driver.frames.length).toBe(2);
});

test("a driver that starts long after this process gets answers at once", () => {
  using driver = new MediaDriver();
  driver.reset();
  driver.nowMs += 3_600_000;
  driver.start();
  expect(driver.ioctl(driver.open(), v.VIDIOC_G_INPUT).status).toBe(0);
});

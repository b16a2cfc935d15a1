// A guest streams from the camera: its buffers get the pictures, in order, and the events say which.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { BASE, MediaDriver } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";

const VGA = { width: 640, height: 480, format: "YUYV" };
const QVGA = { width: 320, height: 240, format: "YUYV" };

const all = (bytes: Uint8Array, value: number) => bytes.every((byte) => byte === value);

test("pictures arrive in the buffers in the order in which these were queued", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  expect(program.setFormat(VGA).status).toBe(0);
  program.stream(4);
  for (let i = 0; i < 10; i++) {
    driver.source.show(i + 1);
    expect(driver.frames.at(-1)).toEqual({
      session: program.session,
      index: i % 4,
      bytesused: 614_400,
      flags: v.V4L2_BUF_FLAG_MAPPED | v.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC,
      sequence: i,
      tsSec: 7,
      tsUsec: 8,
      length: 614_400,
    });
    const bytes = program.bytes(i % 4);
    expect(bytes.length).toBe(614_400);
    expect(all(bytes, i + 1)).toBe(true);
    expect(program.queue(i % 4).status).toBe(0);
  }
  expect(program.off()).toBe(0);
  expect(driver.counts).toMatchObject({ delivered: 10, dropped: 0, damaged: 0 });
});

test("a picture in many pieces arrives whole, in memory of the device and of the guest", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.setFormat(QVGA);
  program.stream(2);
  driver.source.show(0x5a, { piece: 640 });
  expect(all(program.bytes(0), 0x5a)).toBe(true);
  program.close();
  driver.hasRegion = false;
  const other = new MediaProgram(driver);
  other.setFormat(QVGA);
  expect(other.request(2, v.V4L2_MEMORY_USERPTR).status).toBe(0);
  expect(other.queueUser(0, BASE, 153_600).status).toBe(0);
  expect(other.on()).toBe(0);
  driver.source.show(0xa5, { piece: 640 });
  expect(all(driver.memory.bytes(BASE, 153_600), 0xa5)).toBe(true);
  driver.memory.checkGuards();
});

test("a second STREAMON does not restart the numbers of the pictures", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(2);
  driver.source.show(1);
  expect(program.on()).toBe(0);
  driver.source.show(2);
  expect(driver.frames.map(({ sequence }) => sequence)).toEqual([0, 1]);
  expect(driver.source.starts).toBe(1);
});

test("STREAMON without buffers is refused, STREAMOFF never is", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  expect(program.on()).toBe(errno.EINVAL);
  expect(program.off()).toBe(0);
  program.stream(2);
  expect(program.off()).toBe(0);
  expect(program.off()).toBe(0);
});

test("STREAMOFF returns all buffers without events, and the numbers begin again", () => {
  using driver = new MediaDriver({ eventBuffers: 1 });
  driver.repost = false;
  const program = new MediaProgram(driver);
  program.stream(3);
  driver.source.show(1);
  driver.source.show(2); // its event waits for a buffer
  expect(driver.frames.length).toBe(1);
  program.off();
  driver.post();
  expect(driver.frames.length).toBe(1);
  for (let i = 0; i < 3; i++) expect(program.queue(i).status).toBe(0);
  expect(program.on()).toBe(0);
  driver.source.show(3);
  expect(driver.frames.at(-1)).toMatchObject({ index: 0, sequence: 0 });
});

test("QUERYBUF tells the last picture until the buffer is queued again or the stream stops", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(2);
  for (const value of [1, 2]) driver.source.show(value);
  const said = (index: number) => {
    const { q } = program.query(index);
    return [q.bytesused, q.sequence, q["timestamp.tv_sec"], q["timestamp.tv_usec"]];
  };
  expect(said(1)).toEqual([614_400, 1, 7, 8]);
  program.queue(1);
  expect(said(1)).toEqual([0, 0, 0, 0]);
  driver.source.show(3);
  expect(said(1)).toEqual([614_400, 2, 7, 8]);
  program.off();
  expect(said(1)).toEqual([0, 0, 0, 0]);
});

test("without a free buffer a picture is lost, and its number is left out", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(1);
  for (const value of [1, 2, 3]) driver.source.show(value);
  program.queue(0);
  driver.source.show(4);
  expect(driver.frames.map(({ sequence }) => sequence)).toEqual([0, 3]);
  expect(program.bytes(0)[0]).toBe(4);
  expect(driver.counts.dropped).toBe(2);
});

test("an event waits while the driver has no buffer for it, and none is dropped", () => {
  using driver = new MediaDriver({ eventBuffers: 0 });
  driver.repost = false;
  const program = new MediaProgram(driver);
  program.stream(4);
  for (const value of [1, 2, 3, 4]) driver.source.show(value);
  // A buffer with a picture that was not told yet cannot be queued again.
  expect(program.queue(0).status).toBe(errno.EINVAL);
  for (let i = 0; i < 4; i++) driver.post();
  expect(driver.frames.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
});

test("an event buffer that is too small is returned empty, and the event is kept", () => {
  using driver = new MediaDriver({ eventBuffers: 0 });
  driver.repost = false;
  const program = new MediaProgram(driver);
  program.stream(2);
  driver.source.show(1);
  expect(driver.post(607).reply?.length).toBe(0);
  expect(driver.post(0).reply?.length).toBe(0);
  driver.post();
  expect(driver.frames.length).toBe(1);
});

test("of a source whose rate is not known only a burst comes faster than the guest's rate", () => {
  using driver = new MediaDriver();
  driver.source.fps = undefined;
  const program = new MediaProgram(driver);
  program.stream(4);
  expect(driver.source.interval).toEqual({ numerator: 1, denominator: 30 });
  for (let i = 0; i < 20; i++) {
    driver.source.show(i);
    program.queue(driver.frames.at(-1)?.index ?? 0);
  }
  expect(driver.counts.passed).toBeGreaterThan(10);
  expect(driver.counts.delivered).toBeGreaterThan(0);
  expect(driver.counts.delivered + driver.counts.passed).toBe(20);
});

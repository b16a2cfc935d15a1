// Sequences of commands on the null codec: which commands are held, which answers come, in which order.
import { expect, test } from "bun:test";
import { openNull } from "../../src/video/codec/null.ts";
import * as s from "../../src/video/structs.ts";
import { fwhtFrame } from "../support/fwht.ts";
import { BASE, type LocalDriver, localDriver } from "../support/video-driver.ts";

const PICTURE = (64 * 64 * 3) / 2;

/** Stream 1 at 64x64, inputs 1 to 8 of 4096 bytes, outputs 11 to 18; `known`: past the first resolution event. */
function prepared({ known = true, eventBuffers = 32, outputBytes = 8192 } = {}) {
  const driver = localDriver(openNull(), { eventBuffers });
  driver.create(1);
  driver.setParams(1, s.INPUT, { format: 0x1006, width: 64, height: 64 });
  const inputs = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => driver.simple(1, s.INPUT, id, 4096));
  const outputs = [11, 12, 13, 14, 15, 16, 17, 18].map((id) =>
    driver.simple(1, s.OUTPUT, id, outputBytes),
  );
  if (known) {
    driver.queue(1, s.INPUT, 8, [10], 1n);
    driver.queue(1, s.OUTPUT, 18);
    driver.params(1, s.OUTPUT);
    driver.answered.length = 0;
  }
  return { driver, inputs, outputs, [Symbol.dispose]: () => driver[Symbol.dispose]() };
}
const input = (driver: LocalDriver, id: number, ts: bigint) =>
  driver.queue(1, s.INPUT, id, [100], ts);
const output = (driver: LocalDriver, id: number) => driver.queue(1, s.OUTPUT, id);

test("a picture comes out for every bitstream buffer, with its time and without a drain", () => {
  using p = prepared();
  const { driver, outputs } = p;
  const sent = [11, 12, 13].map((id) => output(driver, id));
  expect(sent.every(({ held }) => held)).toBe(true);
  const times = [2n ** 53n + 1n, 1_234_567_891n, 2n ** 64n - 1n];
  for (const [i, ts] of times.entries()) {
    const bitstream = input(driver, i + 1, ts);
    expect([bitstream.code, bitstream.timestamp, bitstream.flags, bitstream.size]).toEqual([
      0x202,
      ts,
      0,
      0,
    ]);
  }
  expect(sent.map(({ timestamp }) => timestamp)).toEqual(times);
  expect(sent.map(({ size, flags }) => [size, flags])).toEqual(times.map(() => [PICTURE, 0]));
  const bytes = driver.memory.bytes(outputs[0] ?? 0n, 8192);
  expect(bytes.subarray(0, PICTURE).every((byte) => byte === 0x80)).toBe(true);
  expect(bytes.subarray(PICTURE).every((byte) => byte === 0)).toBe(true);
});

test("a burst of bitstream is consumed while no picture buffer is there, and pictures follow later", () => {
  using p = prepared();
  const inputs = [1, 2, 3, 4, 5, 6, 7, 8].map((id) => input(p.driver, id, BigInt(id)));
  expect(inputs.every(({ code }) => code === 0x202)).toBe(true);
  const outputs = [11, 12, 13, 14, 15, 16, 17, 18].map((id) => output(p.driver, id));
  expect(outputs.map(({ timestamp }) => timestamp)).toEqual([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
});

test("more bitstream than can be kept is held, and goes on when pictures leave", () => {
  using p = prepared();
  for (let i = 0; i < 64; i++) expect(input(p.driver, 1, BigInt(i)).held).toBe(false);
  const late = input(p.driver, 1, 64n);
  expect(late.held).toBe(true);
  expect(output(p.driver, 11).timestamp).toBe(0n);
  expect(late.held).toBe(false);
});

test("the resolution event comes with the first bitstream, once", () => {
  using p = prepared({ known: false });
  expect(p.driver.eventList).toEqual([]);
  input(p.driver, 1, 1n);
  input(p.driver, 2, 2n);
  expect(p.driver.eventList).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
});

test("picture buffers queued after the event wait until the driver has read the parameters", () => {
  using p = prepared({ known: false });
  input(p.driver, 1, 7n);
  const early = output(p.driver, 11);
  expect(early.held).toBe(true);
  p.driver.params(1, s.INPUT);
  expect(early.held).toBe(true);
  p.driver.params(1, s.OUTPUT);
  expect([early.held, early.timestamp]).toEqual([false, 7n]);
});

test("a picture buffer that is too small goes back with the ERR flag, the picture into the next", () => {
  using p = prepared({ known: false, outputBytes: PICTURE - 1 });
  const small = output(p.driver, 11);
  p.driver.simple(1, s.OUTPUT, 20, PICTURE);
  const large = output(p.driver, 20);
  input(p.driver, 1, 9n);
  expect([small.code, small.flags, small.size]).toEqual([0x202, s.BUFFER_ERR, 0]);
  expect([large.flags, large.timestamp, large.size]).toEqual([0, 9n, PICTURE]);
});

test.each([
  [700, 263, 9],
  [6200, 1009, 1],
])(
  "a picture crosses %d entries in any order, and bytes beside them stay",
  (count, stride, piece) => {
    using p = prepared();
    const { driver } = p;
    const at = driver.allocate(count * 16);
    // A few bytes each, so that entries begin and end anywhere.
    const entries = Array.from({ length: count }, (_, i) => ({
      address: at + BigInt(((i * stride) % count) * 16),
      length: piece,
    }));
    driver.resource(1, s.OUTPUT, 30, [entries]);
    const sent = driver.queue(1, s.OUTPUT, 30);
    input(driver, 1, 5n);
    expect([sent.timestamp, sent.size, sent.flags]).toEqual([5n, PICTURE, 0]);
    const bytes = driver.memory.bytes(at, count * 16);
    const order = entries.map(({ address }) => Number(address - at));
    for (const [i, start] of order.entries())
      for (let k = 0; k < 16; k++) {
        const painted = k < piece && i * piece + k < PICTURE;
        if (bytes[start + k] !== (painted ? 0x80 : 0)) throw new Error(`byte ${start + k}`);
      }
  },
);

test("planes of their own get the colour planes, also when they are larger than needed", () => {
  using p = prepared();
  const { driver } = p;
  const at = driver.allocate(5 * 4096);
  const planes = [0, 1, 2].map((i) => [{ address: at + BigInt(i * 8192), length: 4096 }]);
  driver.resource(1, s.OUTPUT, 30, planes, { layout: 2 });
  driver.queue(1, s.OUTPUT, 30, [0, 0, 0]);
  input(driver, 1, 5n);
  const bytes = driver.memory.bytes(at, 5 * 4096);
  const painted = (from: number) => bytes.subarray(from).indexOf(0);
  expect([painted(0), painted(8192), painted(16384)]).toEqual([4096, 1024, 1024]);
});

test("FWHT frames are cut wherever the buffers end, one picture each, as they become whole", () => {
  using p = prepared({ known: false });
  const { driver, inputs } = p;
  const clip = Buffer.concat(Array.from({ length: 5 }, (_, i) => fwhtFrame(64, 64, 500 + i)));
  for (const cut of [1, 30, 44, 45, 600, 2000]) {
    driver.clear(1, s.INPUT);
    driver.clear(1, s.OUTPUT);
    const times: bigint[] = [];
    let at = 0;
    for (const end of [cut, clip.length]) {
      const id = times.length + (end === cut ? 1 : 2);
      driver.memory.bytes(inputs[end === cut ? 0 : 1] ?? 0n, 4096).set(clip.subarray(at, end));
      driver.queue(1, s.INPUT, end === cut ? 1 : 2, [end - at], BigInt(id));
      at = end;
    }
    driver.params(1, s.OUTPUT);
    for (let i = 0; i < 6; i++) {
      const sent = output(driver, 11 + i);
      if (!sent.held) times.push(sent.timestamp);
    }
    expect(times.length).toBe(5);
  }
});

test("EOS is one more, empty buffer after the last picture, then the drain is answered", () => {
  using p = prepared();
  const { driver } = p;
  const frames = [1, 2, 3].map((id) => input(driver, id, BigInt(id)));
  const drain = driver.drain(1);
  const outputs = [11, 12, 13].map((id) => output(driver, id));
  expect(drain.held).toBe(true);
  const eos = output(driver, 14);
  expect(outputs.map(({ flags, size }) => [flags, size])).toEqual(frames.map(() => [0, PICTURE]));
  expect([eos.flags, eos.size, eos.timestamp]).toEqual([s.BUFFER_EOS, 0, 0n]);
  expect(drain.code).toBe(0x200);
  expect(driver.answered.slice(-2)).toEqual([eos, drain]);
});

test("while it drains neither bitstream nor another drain is accepted; afterwards both are", () => {
  using p = prepared();
  const { driver } = p;
  input(driver, 1, 1n);
  const drain = driver.drain(1);
  expect([input(driver, 2, 2n).code, driver.drain(1).code]).toEqual([0x300, 0x300]);
  output(driver, 11);
  output(driver, 12);
  expect(drain.code).toBe(0x200);
  // Drain, resume, drain: no command announces the resumption.
  for (const round of [1n, 2n, 3n]) {
    const picture = output(driver, 11);
    expect(input(driver, 1, round).code).toBe(0x202);
    expect(picture.timestamp).toBe(round);
    const again = driver.drain(1);
    expect([output(driver, 12).flags, again.code]).toEqual([s.BUFFER_EOS, 0x200]);
  }
});

test("a drain of nothing gives EOS, or is answered at once when there is no picture buffer at all", () => {
  using p = prepared({ known: false });
  const { driver } = p;
  const drain = driver.drain(1);
  expect(drain.held).toBe(true);
  expect([output(driver, 11).flags, drain.code]).toEqual([s.BUFFER_EOS, 0x200]);
  driver.create(2);
  expect(driver.drain(2).code).toBe(0x200);
});

test("QUEUE_CLEAR gives everything back first and cancels a drain", () => {
  using p = prepared();
  const { driver } = p;
  const outputs = [11, 12, 13].map((id) => output(driver, id));
  driver.answered.length = 0;
  const clear = driver.clear(1, s.OUTPUT);
  expect(driver.answered).toEqual([...outputs, clear]);
  expect(outputs.map(({ code, flags, size }) => [code, flags, size])).toEqual(
    outputs.map(() => [0x202, s.BUFFER_ERR, 0]),
  );
  for (let i = 0; i < 64; i++) input(driver, 1, 0n);
  const held = [1, 2].map((id) => input(driver, id, 3n));
  const drain = driver.drain(1);
  driver.answered.length = 0;
  const clearInput = driver.clear(1, s.INPUT);
  expect(driver.answered).toEqual([...held, drain, clearInput]);
  expect([drain.code, held.map(({ flags }) => flags)]).toEqual([
    0x300,
    [s.BUFFER_ERR, s.BUFFER_ERR],
  ]);
  expect(output(driver, 11).held).toBe(true); // pictures from before the seek are dropped
  expect(input(driver, 1, 4n).code).toBe(0x202);
});

test("RESOURCE_DESTROY_ALL gives back what is queued and forgets the rest", () => {
  using p = prepared();
  const { driver } = p;
  const held = output(driver, 11);
  const gone = driver.destroyAll(1, s.OUTPUT);
  expect([held.flags, gone.code, driver.answered.at(-1)]).toEqual([s.BUFFER_ERR, 0x200, gone]);
  expect(output(driver, 11).code).toBe(0x303);
  expect(input(driver, 1, 1n).code).toBe(0x202);
});

test("STREAM_DESTROY answers what is held before itself, and the number can be used again", () => {
  using p = prepared();
  const { driver } = p;
  for (let i = 0; i < 64; i++) input(driver, 1, 0n);
  const held = [input(driver, 1, 1n), input(driver, 2, 2n)];
  const drain = driver.drain(1);
  driver.answered.length = 0;
  const destroy = driver.destroy(1);
  expect(driver.answered).toEqual([...held, drain, destroy]);
  expect([drain.code, destroy.code, driver.destroy(1).code]).toEqual([0x300, 0x200, 0x302]);
  expect(driver.create(1).code).toBe(0x200);
  expect(output(driver, 11).code).toBe(0x303);
});

test("a change in mid-stream: old pictures, the event, an EOS buffer after GET_PARAMS, then the new pictures", () => {
  using p = prepared({ known: false });
  const { driver, inputs } = p;
  const clip = Buffer.concat([
    fwhtFrame(64, 64, 90),
    fwhtFrame(64, 64, 90),
    fwhtFrame(128, 96, 90),
  ]);
  driver.memory.bytes(inputs[0] ?? 0n, 4096).set(clip);
  driver.queue(1, s.INPUT, 1, [clip.length], 5n);
  driver.params(1, s.OUTPUT);
  const old = [11, 12, 13, 14].map((id) => output(driver, id));
  expect(old.map(({ held }) => held)).toEqual([false, false, true, true]);
  expect(driver.eventList.length).toBe(2);
  driver.params(1, s.INPUT);
  expect(old[2]?.held).toBe(true);
  const params = driver.params(1, s.OUTPUT);
  expect([params.frame_width, params.frame_height]).toEqual([128, 96]);
  expect([old[2]?.flags, old[2]?.size, old[3]?.held]).toEqual([s.BUFFER_EOS, 0, true]);
  expect(output(driver, 11).held).toBe(true); // old buffers are not used for new pictures
  driver.clear(1, s.OUTPUT);
  driver.destroyAll(1, s.OUTPUT);
  driver.simple(1, s.OUTPUT, 40, (128 * 96 * 3) / 2);
  const fresh = driver.queue(1, s.OUTPUT, 40);
  expect([fresh.flags, fresh.size, fresh.timestamp]).toEqual([0, (128 * 96 * 3) / 2, 5n]);
});

test("EOS never comes between the event and the GET_PARAMS it provokes", () => {
  using p = prepared({ known: false, eventBuffers: 0 });
  const { driver } = p;
  input(driver, 1, 1n);
  driver.params(1, s.OUTPUT); // asks before it got the event
  expect(output(driver, 11).timestamp).toBe(1n);
  driver.postEvent();
  expect(driver.eventList).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
  const drain = driver.drain(1);
  const eos = output(driver, 12);
  expect([eos.held, drain.held]).toEqual([true, true]);
  driver.params(1, s.OUTPUT);
  expect([eos.flags, drain.code]).toEqual([s.BUFFER_EOS, 0x200]);
});

test("events wait for buffers, once per stream; too small a buffer goes back empty", () => {
  using p = prepared({ known: false, eventBuffers: 0 });
  const { driver } = p;
  driver.create(2);
  for (const stream of [1, 2]) {
    const at = driver.allocate(100);
    driver.resource(stream, s.INPUT, 50, [[{ address: at, length: 100 }]]);
    driver.queue(stream, s.INPUT, 50, [100], 1n);
  }
  const small = driver.postEvent(7);
  expect([small.answers, small.reply?.length]).toEqual([1, 0]);
  driver.postEvent();
  expect(driver.eventList).toEqual([[s.EVENT_RESOLUTION_CHANGED, 1]]);
  driver.destroy(2); // drops its event
  driver.postEvent();
  driver.postEvent();
  expect(driver.eventList.length).toBe(1);
});

test("several streams work independently", () => {
  using driver = localDriver(openNull());
  for (const stream of [1, 2, 3, 4]) {
    driver.create(stream);
    driver.setParams(stream, s.INPUT, { width: 16 * stream, height: 16 });
    driver.simple(stream, s.INPUT, 1, 100);
    driver.simple(stream, s.OUTPUT, 1, 4096);
    driver.queue(stream, s.INPUT, 1, [9], BigInt(stream));
    driver.params(stream, s.OUTPUT);
  }
  driver.destroy(2);
  for (const stream of [4, 3, 1]) {
    const sent = driver.queue(stream, s.OUTPUT, 1);
    expect([sent.timestamp, sent.size, sent.streamId]).toEqual([
      BigInt(stream),
      (16 * stream * 16 * 3) / 2,
      stream,
    ]);
  }
});

test("while the rings are paused nothing is written; afterwards everything goes on", () => {
  using p = prepared();
  const { driver, outputs } = p;
  const held = output(driver, 11);
  driver.device.pause();
  const bitstream = input(driver, 1, 3n);
  expect([held.held, bitstream.held]).toEqual([true, true]);
  expect(driver.memory.bytes(outputs[0] ?? 0n, 8192).every((byte) => byte === 0)).toBe(true);
  driver.device.resume();
  expect([held.timestamp, bitstream.code]).toEqual([3n, 0x202]);
});

test("after a reset no earlier command is answered and no picture is written", () => {
  using p = prepared();
  const { driver, outputs } = p;
  const held = [output(driver, 11), driver.drain(1), output(driver, 12)];
  driver.queue(1, s.OUTPUT, 13);
  const before = driver.answered.length;
  driver.device.reset();
  driver.start();
  expect(driver.answered.length).toBe(before);
  expect(held[1]?.code).toBe(0x200); // its drain was complete before the reset
  expect(driver.queue(1, s.INPUT, 1).code).toBe(0x302);
  expect(driver.create(1).code).toBe(0x200);
  expect(driver.memory.bytes(outputs[1] ?? 0n, 8192).every((byte) => byte === 0)).toBe(true);
});

test("memory that is removed: queued buffers in it are returned with ERR, others go on in the new mapping", () => {
  using driver = localDriver(openNull(), { memoryBytes: 1 << 20 });
  const second = { address: 0x8000_0000n, length: 1 << 20 };
  const first = { address: BASE, length: 1 << 20 };
  driver.memory.replace([first, second]);
  driver.device.memoryChanged(driver.memory);
  driver.create(1);
  driver.setParams(1, s.INPUT, { width: 64, height: 64 });
  const bitstream = driver.simple(1, s.INPUT, 1, 100);
  const kept = driver.simple(1, s.OUTPUT, 1, PICTURE);
  driver.resource(1, s.OUTPUT, 2, [[{ address: second.address, length: PICTURE }]]);
  driver.queue(1, s.INPUT, 1, [9]);
  driver.params(1, s.OUTPUT);
  driver.queue(1, s.OUTPUT, 1);
  const lost = driver.queue(1, s.OUTPUT, 2);
  const stays = driver.queue(1, s.OUTPUT, 1);
  driver.memory.replace([first]);
  driver.device.memoryChanged(driver.memory);
  expect([lost.code, lost.flags, stays.held]).toEqual([0x202, s.BUFFER_ERR, true]);
  expect(driver.queue(1, s.OUTPUT, 2).flags).toBe(s.BUFFER_ERR);
  driver.memory.bytes(kept, PICTURE).fill(0);
  driver.memory.bytes(bitstream, 9).fill(0);
  driver.queue(1, s.INPUT, 1, [9], 4n);
  expect([stays.timestamp, stays.flags]).toEqual([4n, 0]);
  expect(driver.memory.bytes(kept, PICTURE).every((byte) => byte === 0x80)).toBe(true);
  driver.memory.replace([first, second]);
  driver.device.memoryChanged(driver.memory);
  driver.queue(1, s.OUTPUT, 2);
  expect(driver.queue(1, s.INPUT, 1, [9], 6n).code).toBe(0x202);
});

test("an empty bitstream buffer is answered at once and makes no picture", () => {
  using p = prepared();
  const picture = output(p.driver, 11);
  const empty = p.driver.queue(1, s.INPUT, 1, [0], 77n);
  expect([empty.code, empty.flags, empty.timestamp, picture.held]).toEqual([0x202, 0, 77n, true]);
});

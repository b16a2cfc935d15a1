// Every command row: its good request, every short length, every number out of range.
import { expect, test } from "bun:test";
import type { Fields, StructType } from "../../ffi/struct.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { commands } from "../../src/video/commands.ts";
import * as s from "../../src/video/structs.ts";
import { BASE, type LocalDriver, localDriver, type Sent } from "../support/video-driver.ts";

const rows = [...commands.values()];
const INVALID_OPERATION = 0x300;
const OUT_OF_MEMORY = 0x301;
const INVALID_STREAM = 0x302;
const INVALID_RESOURCE = 0x303;
const INVALID_PARAMETER = 0x304;
const UNSUPPORTED_CONTROL = 0x305;

/** A device with stream 1, four input resources 1 to 4 and four output resources 11 to 14. */
function prepared(options = {}): LocalDriver {
  const driver = localDriver(openNull(), options);
  driver.create(1);
  driver.setParams(1, s.INPUT, { format: 0x1006, width: 64, height: 64 });
  for (let i = 1; i <= 4; i++) driver.simple(1, s.INPUT, i, 4096);
  for (let i = 11; i <= 14; i++) driver.simple(1, s.OUTPUT, i, 8192);
  return driver;
}

/** A good request of each row, to a prepared device, and the type and length of its answer (0: it is held). */
const good: Record<
  string,
  { fill?: (q: Uint8Array<ArrayBuffer>) => void; code: number; length: number }
> = {
  QUERY_CAPABILITY: { fill: put(8, s.INPUT), code: 0x201, length: 80 },
  STREAM_CREATE: { fill: both(put(4, 2), put(16, 0x1006)), code: 0x200, length: 8 },
  STREAM_DESTROY: { code: 0x200, length: 8 },
  STREAM_DRAIN: { code: 0, length: 0 },
  RESOURCE_CREATE: {
    fill: both(put(8, s.INPUT), put(12, 5), put(16, 1), put(20, 1), put(56, 1), entry(88)),
    code: 0x200,
    length: 8,
  },
  RESOURCE_QUEUE: {
    fill: both(put(8, s.INPUT), put(12, 1), put(24, 1), put(28, 100)),
    code: 0x202,
    length: 24,
  },
  RESOURCE_DESTROY_ALL: { fill: put(8, s.OUTPUT), code: 0x200, length: 8 },
  QUEUE_CLEAR: { fill: put(8, s.OUTPUT), code: 0x200, length: 8 },
  GET_PARAMS: { fill: put(8, s.OUTPUT), code: 0x203, length: 120 },
  SET_PARAMS: { fill: both(put(8, s.OUTPUT), put(12, 3)), code: 0x200, length: 8 },
  QUERY_CONTROL: { fill: put(8, 2), code: UNSUPPORTED_CONTROL, length: 8 },
  GET_CONTROL: { fill: put(8, 2), code: UNSUPPORTED_CONTROL, length: 8 },
  SET_CONTROL: { fill: put(8, 2), code: UNSUPPORTED_CONTROL, length: 8 },
  GET_PARAMS_EXT: { fill: put(8, s.OUTPUT), code: 0x203, length: 128 },
  SET_PARAMS_EXT: { fill: both(put(8, s.OUTPUT), put(12, 3)), code: 0x200, length: 8 },
};
/** The bytes after the fixed part. */
const tails: Record<string, number> = { RESOURCE_CREATE: 16, SET_CONTROL: 8 };

function put(at: number, value: number) {
  return (bytes: Uint8Array<ArrayBuffer>) => new DataView(bytes.buffer).setUint32(at, value, true);
}
function entry(at: number) {
  return (bytes: Uint8Array<ArrayBuffer>) => {
    const view = new DataView(bytes.buffer);
    if (bytes.length < at + 16) return;
    view.setBigUint64(at, BASE, true);
    view.setUint32(at + 8, 4096, true);
  };
}
function both(...fills: ((bytes: Uint8Array<ArrayBuffer>) => void)[]) {
  return (bytes: Uint8Array<ArrayBuffer>) => {
    for (const fill of fills) fill(bytes);
  };
}
function requestOf(row: (typeof rows)[number], change?: (bytes: Uint8Array<ArrayBuffer>) => void) {
  const size = (row.request as StructType<Fields>).size + (tails[row.name] ?? 0);
  const bytes = new Uint8Array(new ArrayBuffer(size));
  both(put(0, row.type), put(4, 1), good[row.name]?.fill ?? (() => undefined))(bytes);
  change?.(bytes);
  return bytes;
}

test("the table has the fifteen commands of the draft and of the EXT header", () => {
  expect(rows.map(({ type }) => type).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 15 }, (_, i) => 0x100 + i),
  );
  expect(Object.keys(good).sort()).toEqual(rows.map(({ name }) => name).sort());
});

test.each(rows)("$name: a good request has the answer the draft gives it", (row) => {
  using driver = prepared();
  const sent = driver.raw(requestOf(row));
  const { code = -1, length = -1 } = good[row.name] ?? {};
  expect(sent.code).toBe(code);
  expect(sent.reply?.length ?? 0).toBe(length);
  if (code !== 0) expect(sent.streamId).toBe(row.name === "STREAM_CREATE" ? 2 : 1);
});

test.each(rows)("$name: every shorter request is refused and the device goes on", (row) => {
  using driver = prepared();
  const whole = requestOf(row);
  const needed = row.name === "SET_CONTROL" ? whole.length : row.request.size;
  for (
    let length = 0;
    length < (row.name === "RESOURCE_CREATE" ? whole.length : needed);
    length++
  ) {
    const sent = driver.raw(whole.slice(0, length));
    expect(sent.answers).toBe(1);
    if (length < 8) expect(sent.reply?.length).toBe(0);
    else expect(sent.code).toBe(INVALID_PARAMETER);
  }
  expect(driver.raw(whole).code).toBe(good[row.name]?.code ?? -1);
});

test.each(rows)("$name: more bytes than needed do not matter", (row) => {
  using driver = prepared();
  const longer = new Uint8Array(new ArrayBuffer(4096));
  longer.set(requestOf(row));
  expect(driver.raw(longer).code).toBe(good[row.name]?.code ?? -1);
});

test.each(rows)(
  "$name: the answer is cut to the room there is, and empty when there is none",
  (row) => {
    for (const room of [0, 1, 7, 8, 12, 23]) {
      using driver = prepared();
      const sent = driver.raw(requestOf(row), room);
      if (sent.held) continue;
      expect(sent.reply?.length).toBe(Math.min(room, good[row.name]?.length ?? 0));
    }
  },
);

const withStream = rows.filter(
  ({ name }) => !["QUERY_CAPABILITY", "QUERY_CONTROL", "STREAM_CREATE"].includes(name),
);
test.each(withStream)("$name: an unknown stream is refused", (row) => {
  using driver = prepared();
  const sent = driver.raw(requestOf(row, put(4, 99)));
  expect(sent.code).toBe(INVALID_STREAM);
  expect(sent.streamId).toBe(99);
});

const withQueue = rows.filter((row) => "queue_type" in row.request.fields);
test.each(withQueue)("$name: a queue type that is neither INPUT nor OUTPUT is refused", (row) => {
  using driver = prepared();
  for (const queue of [0, 1, 0xff, 0x102, 0x200, 0xffff_ffff])
    expect(driver.raw(requestOf(row, put(8, queue))).code).toBe(INVALID_PARAMETER);
});

test("commands outside the table are invalid operations", () => {
  using driver = prepared();
  for (const type of [0, 1, 0xff, 0x10f, 0x110, 0x200, 0x300, 0xffff_ffff])
    expect(driver.raw(both0(type)).code).toBe(INVALID_OPERATION);
});
function both0(type: number) {
  const bytes = new Uint8Array(new ArrayBuffer(64));
  put(0, type)(bytes);
  return bytes;
}

test("capability bytes are those of the draft's table, for both queues", () => {
  using driver = localDriver(openNull());
  const input = driver.capability(s.INPUT);
  const range = [16, 4096, 1, 0, 16, 2160, 1, 0];
  const words = (sent: typeof input) => [
    ...new Uint32Array(sent.reply?.buffer ?? new ArrayBuffer(0)),
  ];
  expect(words(input)).toEqual([0x201, 0, 1, 0, 3, 0, 0x1006, 1, 0, 1, ...range, 0, 0]);
  const first = [1, 0, 4, 1, 0, 1, ...range, 0, 0];
  const second = [1, 0, 3, 1, 0, 1, ...range, 0, 0];
  expect(words(driver.capability(s.OUTPUT))).toEqual([0x201, 0, 2, 0, ...first, ...second]);
});

test("the config space is 44 bytes with a name, or the draft's 12", () => {
  using named = localDriver(openNull());
  const long = named.device.config();
  expect(long.length).toBe(44);
  const c = s.config.over(long);
  expect([c.version, c.max_caps_length, c.max_resp_length]).toEqual([0, 4096, 4096]);
  expect(c.device_name).toBe("framepass null decoder");
  using short = localDriver(openNull(), { configSize: 12 });
  expect([...short.device.config()]).toEqual([...long.subarray(0, 12)]);
  expect([named.device.deviceId, named.device.queues, named.device.features]).toEqual([31, 2, 3n]);
});

test("STREAM_CREATE: used numbers, unknown formats and memory types, and too many streams are refused", () => {
  using driver = localDriver(openNull(), { maxStreams: 3 });
  expect(driver.create(1).code).toBe(0x200);
  expect(driver.create(1).code).toBe(INVALID_STREAM);
  for (const format of [0, 3, 0x1002, 0x1007, 0xffff_ffff])
    expect(driver.create(2, { format }).code).toBe(INVALID_PARAMETER);
  expect(driver.create(2, { inMem: 2 }).code).toBe(INVALID_PARAMETER);
  expect(driver.create(2, { outMem: 0xffff_ffff }).code).toBe(INVALID_PARAMETER);
  expect(driver.create(2, { inMem: 1, outMem: 1 }).code).toBe(0x200);
  expect(driver.create(0xffff_ffff).code).toBe(0x200);
  expect(driver.create(4).code).toBe(OUT_OF_MEMORY);
  expect(driver.destroy(2).code).toBe(0x200);
  expect(driver.create(4).code).toBe(0x200);
});

test("RESOURCE_CREATE: layouts 0, 1 and 2, one entry and 700", () => {
  using driver = prepared();
  const at = driver.allocate(700 * 4096);
  const many = Array.from({ length: 700 }, (_, i) => ({
    address: at + BigInt(4096 * (699 - i)), // not in address order
    length: 4096,
  }));
  for (const layout of [0, 1, 2])
    expect(driver.resource(1, s.OUTPUT, 20, [many], { layout }).code).toBe(0x200);
  expect(driver.resource(1, s.OUTPUT, 20, [many], { layout: 3 }).code).toBe(INVALID_PARAMETER);
  const three = [many.slice(0, 5), many.slice(5, 9), many.slice(9)];
  expect(driver.resource(1, s.OUTPUT, 21, three, { layout: 2 }).code).toBe(0x200);
});

test("RESOURCE_CREATE: every count out of range is refused", () => {
  using driver = prepared();
  const one = [{ address: BASE, length: 4096 }];
  for (const numPlanes of [0, 9, 10, 255, 0x8000_0000, 0xffff_ffff])
    expect(driver.resource(1, s.INPUT, 20, [one], { numPlanes }).code).toBe(INVALID_PARAMETER);
  const row = commands.get(0x104);
  if (row === undefined) throw new Error("no RESOURCE_CREATE");
  for (const count of [0, 2, 65_536, 65_537, 0x1000_0000, 0xffff_ffff])
    expect(driver.raw(requestOf(row, put(56, count))).code).toBe(INVALID_PARAMETER);
  // A second plane whose entries are not there.
  expect(driver.raw(requestOf(row, both(put(16, 2), put(20, 2), put(60, 1)))).code).toBe(
    INVALID_PARAMETER,
  );
  for (const offset of [4096, 4097, 0xffff_ffff])
    expect(driver.raw(requestOf(row, put(24, offset))).code).toBe(INVALID_PARAMETER);
  for (const length of [0, 0x1000_0001, 0xffff_ffff])
    expect(driver.raw(requestOf(row, put(96, length))).code).toBe(INVALID_PARAMETER);
});

test("RESOURCE_CREATE: memory outside the guest's is refused, at every edge", () => {
  using driver = prepared();
  const size = 8 * 1024 * 1024;
  const end = BASE + BigInt(size);
  const cases: [bigint, number, number][] = [
    [BASE, size, 0x200],
    [BASE, size + 1, INVALID_PARAMETER],
    [BASE - 1n, 2, INVALID_PARAMETER],
    [end - 1n, 1, 0x200],
    [end - 1n, 2, INVALID_PARAMETER],
    [end, 1, INVALID_PARAMETER],
    [0n, 4096, INVALID_PARAMETER],
    [2n ** 64n - 4096n, 4096, INVALID_PARAMETER],
    [2n ** 64n - 1n, 0xffff, INVALID_PARAMETER],
    [2n ** 63n, 4096, INVALID_PARAMETER],
  ];
  for (const [address, length, code] of cases)
    expect(driver.resource(1, s.INPUT, 20, [[{ address, length }]]).code).toBe(code);
});

test("RESOURCE_CREATE: 64 resources a queue, numbers are reused, but not while queued", () => {
  using driver = prepared();
  for (let id = 100; id < 160; id++) driver.simple(1, s.INPUT, id, 16);
  const one = [[{ address: BASE, length: 4096 }]];
  expect(driver.resource(1, s.INPUT, 999, one).code).toBe(OUT_OF_MEMORY);
  expect(driver.resource(1, s.INPUT, 100, one).code).toBe(0x200);
  expect(driver.queue(1, s.OUTPUT, 11).held).toBe(true);
  expect(driver.resource(1, s.OUTPUT, 11, one).code).toBe(INVALID_RESOURCE);
  driver.clear(1, s.OUTPUT);
  expect(driver.resource(1, s.OUTPUT, 11, one).code).toBe(0x200);
});

test("RESOURCE_CREATE: without NON_CONTIG there is one entry a plane", () => {
  using driver = localDriver(openNull(), { features: s.F_RESOURCE_GUEST_PAGES });
  driver.create(1);
  const e = (n: number) => ({ address: BASE + BigInt(n * 4096), length: 4096 });
  expect(driver.resource(1, s.INPUT, 1, [[e(0), e(1)]]).code).toBe(INVALID_PARAMETER);
  expect(driver.resource(1, s.INPUT, 1, [[e(0)]]).code).toBe(0x200);
  expect(driver.resource(1, s.OUTPUT, 1, [[e(0)], [e(1)]], { layout: 2 }).code).toBe(0x200);
});

test("RESOURCE_QUEUE: counts, sizes and numbers out of range are refused with the ERR flag", () => {
  using driver = prepared();
  const refused = (sent: Sent, code: number) => {
    expect([sent.code, sent.reply?.length, sent.flags, sent.size]).toEqual([code, 24, 1, 0]);
  };
  refused(driver.queue(1, s.INPUT, 5), INVALID_RESOURCE);
  refused(driver.queue(1, s.INPUT, 11), INVALID_RESOURCE); // an OUTPUT resource
  refused(driver.queue(1, s.INPUT, 1, [4097]), INVALID_PARAMETER);
  refused(driver.queue(1, s.INPUT, 1, [0xffff_ffff]), INVALID_PARAMETER);
  refused(driver.queue(1, s.INPUT, 1, [10, 1]), INVALID_PARAMETER);
  for (const count of [9, 255, 0xffff_ffff]) {
    const sent = driver.command(0x105, 1, s.resourceQueue, (q) => {
      q.queue_type = s.INPUT;
      q.resource_id = 1;
      q.num_data_sizes = count;
    });
    refused(sent, INVALID_PARAMETER);
  }
  refused(driver.queue(7, s.INPUT, 1), INVALID_STREAM);
  expect(driver.queue(1, s.OUTPUT, 11).held).toBe(true);
  refused(driver.queue(1, s.OUTPUT, 11), INVALID_OPERATION);
  expect(driver.queue(1, s.INPUT, 1, [4096]).code).toBe(0x202);
});

test("SET_PARAMS: absurd sizes are clamped, format 0 keeps the format, unknown ones are refused", () => {
  using driver = prepared();
  expect(driver.setParams(1, s.OUTPUT, { format: 3, width: 640, height: 480 }).code).toBe(0x200);
  expect(driver.setParams(1, s.OUTPUT, { width: 0xffff_ffff, height: 0xffff_ffff }).code).toBe(
    0x200,
  );
  const p = driver.params(1, s.OUTPUT);
  expect([p.format, p.frame_width, p.frame_height]).toEqual([3, 4096, 2160]);
  expect(p["plane_formats[0].plane_size"]).toBe((4096 * 2160 * 3) / 2);
  for (const format of [2, 7, 0x1006, 0xffff_ffff])
    expect(driver.setParams(1, s.OUTPUT, { format }).code).toBe(INVALID_PARAMETER);
  for (const planes of [9, 0xffff_ffff])
    expect(driver.setParams(1, s.OUTPUT, { planes }).code).toBe(INVALID_PARAMETER);
  expect(driver.setParams(1, s.OUTPUT, { memory: 2 }).code).toBe(INVALID_PARAMETER);
  driver.setParams(1, s.INPUT, { format: 0x1006, width: 320, height: 240 });
  expect(driver.params(1, s.OUTPUT).format).toBe(3); // the raw format is kept
});

test("both dialects report the same parameters; only the EXT one has the memory type", () => {
  using driver = localDriver(openNull());
  driver.create(1, { inMem: 1, outMem: 1 });
  const plain = driver.params(1, s.INPUT, false).$bytes.slice(8);
  const ext = driver.params(1, s.INPUT);
  expect(ext.resource_type).toBe(1);
  expect([...plain.subarray(0, 112)]).toEqual([...ext.$bytes.subarray(8, 120)]);
  expect(driver.setParams(1, s.INPUT, { width: 320, height: 240 }, false).code).toBe(0x200);
  expect(driver.params(1, s.INPUT, false).frame_width).toBe(320);
  expect(driver.params(1, s.INPUT).resource_type).toBe(1); // the plain dialect does not set it
});

test("before any bitstream both queues have complete parameters", () => {
  using driver = localDriver(openNull());
  driver.create(1);
  for (const queue of [s.INPUT, s.OUTPUT]) {
    const p = driver.params(1, queue);
    expect(p.queue_type).toBe(queue);
    expect(p.num_planes).toBe(1);
    expect(p["plane_formats[0].plane_size"]).toBeGreaterThan(0);
    expect(p.min_buffers).toBeGreaterThan(0);
    expect(p.max_buffers).toBeGreaterThanOrEqual(p.min_buffers);
    expect([p.frame_width, p.frame_height]).toEqual([1280, 720]);
  }
});

test("a stream made for virtio objects takes guest pages after SET_PARAMS_EXT", () => {
  using driver = localDriver(openNull());
  driver.create(1, { inMem: 1, outMem: 1 });
  const one = [[{ address: BASE, length: 4096 }]];
  expect(driver.resource(1, s.INPUT, 1, one).code).toBe(INVALID_PARAMETER);
  driver.setParams(1, s.INPUT, { memory: 0 });
  expect(driver.resource(1, s.INPUT, 1, one).code).toBe(0x200);
  expect(driver.resource(1, s.OUTPUT, 2, one).code).toBe(INVALID_PARAMETER);
});

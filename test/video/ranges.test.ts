// The ranges of guest memory that resources are made of: neighbours are merged, their number is limited, and they cost little.
import { expect, test } from "bun:test";
import { openNull } from "../../src/video/codec/null.ts";
import { MAX_ENTRIES } from "../../src/video/resource.ts";
import * as s from "../../src/video/structs.ts";
import { MAX_RANGES } from "../../src/virtio/guest-ranges.ts";
import { BASE, type LocalDriver, localDriver, manyRanges } from "../support/video-driver.ts";

const PICTURE = (64 * 64 * 3) / 2;
const MIB = 1024 * 1024;

function create(driver: LocalDriver, request: Uint8Array<ArrayBuffer>, stream: number, id: number) {
  const view = new DataView(request.buffer);
  view.setUint32(4, stream, true);
  view.setUint32(12, id, true);
  return driver.raw(request).code;
}

test("64 resources of the most ranges cost less than 64 MB, and what is over the limit is refused", () => {
  using driver = localDriver(openNull());
  driver.keepAnswers = false;
  driver.create(1);
  const request = manyRanges(MAX_ENTRIES, 32, 16);
  for (let i = 0; i < 8; i++) create(driver, request, 1, 1); // compiled, and garbage is no surprise
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const codes = Array.from({ length: 64 }, (_, id) => create(driver, request, 1, id));
  Bun.gc(true);
  const cost = (process.memoryUsage.rss() - before) / MIB;
  const fit = Math.floor(MAX_RANGES / MAX_ENTRIES);
  expect(codes).toEqual(codes.map((_, i) => (i < fit ? 0x200 : 0x301)));
  expect(cost).toBeLessThan(64);
  expect(driver.complaints.length).toBe(3);
});

test("neighbours are one range: 64 resources of 65,530 pages in a row are far from the limit", () => {
  using driver = localDriver(openNull());
  driver.keepAnswers = false;
  driver.create(1);
  driver.create(2);
  const request = manyRanges(MAX_ENTRIES, 16, 16);
  for (const stream of [1, 2])
    for (let id = 0; id < 64; id++) expect(create(driver, request, stream, id)).toBe(0x200);
});

test("the limit is that of the connection; resources and streams that go leave room for others", () => {
  using driver = localDriver(openNull());
  driver.keepAnswers = false;
  const request = manyRanges(MAX_ENTRIES, 32, 16);
  const fill = () => {
    let made = 0;
    for (const stream of [1, 2]) {
      driver.create(stream);
      for (let id = 0; id < 10; id++) if (create(driver, request, stream, id) === 0x200) made++;
    }
    return made;
  };
  const fit = Math.floor(MAX_RANGES / MAX_ENTRIES);
  expect(fill()).toBe(fit);
  expect(create(driver, request, 1, 3)).toBe(0x200); // replaces one of the same size
  expect(create(driver, request, 2, 9)).toBe(0x301);
  driver.destroyAll(1, s.INPUT);
  expect(create(driver, request, 2, 9)).toBe(0x200);
  driver.destroy(1);
  driver.destroy(2);
  expect(fill()).toBe(fit);
  driver.device.reset();
  driver.start();
  expect(fill()).toBe(fit);
});

test("pictures and bitstream are whole in merged ranges that are in any order and cross regions", () => {
  const second = { address: BASE + BigInt(MIB), length: MIB };
  using driver = localDriver(openNull(), { memoryBytes: MIB });
  driver.memory.replace([{ address: BASE, length: MIB }, second]);
  driver.device.memoryChanged(driver.memory);
  driver.create(1);
  driver.setParams(1, s.INPUT, { width: 64, height: 64 });
  driver.simple(1, s.INPUT, 1, 4096);
  // Three neighbours across the border of the regions, then one far before them.
  const at = second.address - 3000n;
  driver.resource(1, s.OUTPUT, 2, [
    [
      { address: at, length: 1000 },
      { address: at + 1000n, length: 2000 },
      { address: at + 3000n, length: 1000 },
      { address: BASE + 65_536n, length: PICTURE - 4000 },
    ],
  ]);
  const out = driver.queue(1, s.OUTPUT, 2);
  driver.queue(1, s.INPUT, 1, [9], 5n);
  driver.params(1, s.OUTPUT);
  expect([out.flags, out.size]).toEqual([0, PICTURE]);
  const painted = (address: bigint, length: number) =>
    driver.memory.bytes(address, length).every((byte) => byte === 0x80);
  expect([
    painted(at, 3000),
    painted(second.address, 1000),
    painted(BASE + 65_536n, PICTURE - 4000),
  ]).toEqual([true, true, true]);
  expect(driver.memory.bytes(second.address + 1000n, 1)[0]).toBe(0);
  expect(driver.memory.bytes(at - 1n, 1)[0]).toBe(0);
});

test("ranges that overlap across the border of two regions without end are refused", () => {
  const second = { address: BASE + BigInt(MIB), length: MIB };
  using driver = localDriver(openNull(), { memoryBytes: MIB });
  driver.memory.replace([{ address: BASE, length: MIB }, second]);
  driver.device.memoryChanged(driver.memory);
  driver.create(1);
  const across = Array.from({ length: 1000 }, () => ({ address: second.address - 8n, length: 16 }));
  expect(driver.resource(1, s.INPUT, 1, [across]).code).toBe(0x304);
  expect(driver.resource(1, s.INPUT, 1, [across.slice(0, 20)]).code).toBe(0x200);
});

import { expect, test } from "bun:test";
import { endOf, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, sealsOf } from "../../ffi/fd.ts";
import { BufferMemory, Quota } from "../../src/virtio/buffer-memory.ts";
import { leftBehind, nothing } from "../support/resources.ts";

const FRAME = 614_400;
const FILE = 655_360;

test("the memory of a buffer is zero, sealed, and rounded up to 64 KiB", () => {
  const quota = new Quota(1 << 20);
  using memory = BufferMemory.create(quota, FRAME, "buffer");
  if (memory === undefined) throw new Error("no memory");
  expect(memory.bytes.length).toBe(FRAME);
  expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
  expect(memory.fileLength).toBe(FILE);
  expect(endOf(memory.fd)).toBe(FILE);
  expect(sealsOf(memory.fd)).toBe(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  expect(quota.used).toBe(FILE);
});

test("buffers beyond the quota are refused, and a refusal takes nothing", () => {
  const quota = new Quota(2 * FILE - 1);
  using memory = BufferMemory.create(quota, FRAME, "buffer");
  expect(memory).toBeDefined();
  expect(BufferMemory.create(quota, FRAME, "buffer")).toBeUndefined();
  for (const length of [0, -1, Number.NaN, 2 ** 53, 0.5]) {
    expect(BufferMemory.create(quota, length, "buffer")).toBeUndefined();
  }
  expect(quota.used).toBe(FILE);
});

test("a disposed buffer that the monitor still has mapped is counted until it is not", () => {
  const quota = new Quota(1 << 20);
  const memory = BufferMemory.create(quota, FRAME, "buffer");
  const held = memory?.hold();
  memory?.[Symbol.dispose]();
  memory?.[Symbol.dispose]();
  expect(memory?.bytes.length).toBe(0);
  expect(quota.used).toBe(FILE);
  held?.[Symbol.dispose]();
  held?.[Symbol.dispose]();
  expect(quota.used).toBe(0);
});

test("a buffer leaves no descriptor and no mapping behind", async () => {
  const left = await leftBehind("memfd:buffer", () => {
    using _memory = BufferMemory.create(new Quota(1 << 20), FRAME, "buffer");
  });
  expect(left).toEqual(nothing);
});

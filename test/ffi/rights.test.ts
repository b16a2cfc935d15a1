import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { receiveWith, sendWith } from "../../ffi/rights.ts";
import { receive, socketPair } from "../../ffi/socket.ts";
import { leftBehind, nothing } from "../support/resources.ts";

const text = new Uint8Array(new TextEncoder().encode("hello").slice().buffer);
const into = new Uint8Array(new ArrayBuffer(64));

test("descriptors arrive with the first byte, are ours to close and end at exec", async () => {
  const left = await leftBehind("framepass-rights", () => {
    const [near, far] = socketPair();
    using _near = near;
    using _far = far;
    using first = Fd.memory("framepass-rights", 4096);
    using second = Fd.memory("framepass-rights", 8192);
    expect(sendWith(near, addressOf(text), 5, [first.number, second.number])).toBe(5);
    const arrived: Fd[] = [];
    expect(receiveWith(far, addressOf(into), 64, arrived)).toBe(5);
    expect(new TextDecoder().decode(into.subarray(0, 5))).toBe("hello");
    expect(arrived.length).toBe(2);
    using mine = new Mapping(first.number, 4096, "framepass-rights");
    using theirs = new Mapping(arrived[0]?.number ?? -1, 4096, "framepass-rights");
    mine.bytes[100] = 77;
    expect(theirs.bytes[100]).toBe(77);
    const info = readFileSync(`/proc/self/fdinfo/${arrived[1]?.number}`, "utf8");
    expect(Number.parseInt(/flags:\s+(\d+)/.exec(info)?.[1] ?? "0", 8) & 0o2000000).not.toBe(0);
    for (const fd of arrived) fd[Symbol.dispose]();
  });
  expect(left).toEqual(nothing);
});

test("messages without descriptors bring none, and two messages are not mixed up", () => {
  const [near, far] = socketPair();
  using _near = near;
  using _far = far;
  using memory = Fd.memory("framepass-rights", 4096);
  const arrived: Fd[] = [];
  sendWith(near, addressOf(text), 5, []);
  sendWith(near, addressOf(text), 3, [memory.number]);
  sendWith(near, addressOf(text), 2, [memory.number]);
  const sizes = [0, 0, 0].map(() => {
    const r = receiveWith(far, addressOf(into), 64, arrived);
    return [r, arrived.length];
  });
  // Bytes without a descriptor may be joined with those that follow; descriptors of two messages never are.
  expect(sizes).toEqual([
    [8, 1],
    [2, 2],
    [-errno.EAGAIN, 2],
  ]);
  for (const fd of arrived) fd[Symbol.dispose]();
});

test("more descriptors than a message can carry are refused before the call", () => {
  const [near, far] = socketPair();
  using _near = near;
  using _far = far;
  const many = new Array<number>(254).fill(0);
  expect(() => sendWith(near, addressOf(text), 5, many)).toThrow("254 descriptors");
});

test("descriptors that come where nobody expects one are closed by the kernel", async () => {
  const left = await leftBehind("framepass-rights", () => {
    const [near, far] = socketPair();
    using _near = near;
    using _far = far;
    using memory = Fd.memory("framepass-rights", 4096);
    sendWith(near, addressOf(text), 5, [memory.number]);
    expect(receive(far, addressOf(into), 64)).toBe(5);
  });
  expect(left).toEqual(nothing);
});

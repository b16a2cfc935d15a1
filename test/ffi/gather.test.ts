import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Fd } from "../../ffi/fd.ts";
import { Gather } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import { SO_SNDBUF, SOL_SOCKET } from "../../ffi/linux/socket.ts";
import { receive, setOption, socketPair } from "../../ffi/socket.ts";

function pattern(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + seed) & 0xff;
  return bytes;
}

/** Sends the whole list while reading the other end; answers what arrived and how often the socket was full. */
function pump(gather: Gather, from: Fd, to: Fd): { arrived: Buffer; full: number } {
  const chunk = new Uint8Array(new ArrayBuffer(5_000));
  const parts: Uint8Array[] = [];
  let full = 0;
  for (;;) {
    const sent = gather.send(from);
    if (typeof sent === "number") throw new Error(`errno ${-sent}`);
    if (sent === "again") full += 1;
    const r = receive(to, addressOf(chunk), chunk.length);
    if (r > 0) parts.push(chunk.slice(0, r));
    else if (sent === "done") return { arrived: Buffer.concat(parts), full };
  }
}

test("pieces of any size arrive whole and in order, and short writes are resumed", () => {
  const [a, b] = socketPair();
  using from = a;
  using to = b;
  setOption(from, SOL_SOCKET, SO_SNDBUF, 4096);
  let full = 0;
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 12 }),
      (lengths) => {
        const memory = lengths.map((length, i) => pattern(length, i));
        const gather = new Gather(memory.map((m) => ({ address: addressOf(m), length: m.length })));
        for (let round = 0; round < 3; round++) {
          gather.rewind();
          const { arrived, full: times } = pump(gather, from, to);
          full += times;
          expect(arrived.equals(Buffer.concat(memory))).toBe(true);
        }
      },
    ),
    { numRuns: 200 },
  );
  expect(full).toBeGreaterThan(100);
});

test("more pieces than one message can have are sent in several", () => {
  const [a, b] = socketPair();
  using from = a;
  using to = b;
  const rows = pattern(2160 * 100, 5);
  const pieces = Array.from({ length: 2160 }, (_, y) => ({
    address: addressOf(rows) + y * 100,
    length: 64,
  }));
  const wanted = Buffer.concat(
    Array.from({ length: 2160 }, (_, y) => rows.slice(y * 100, y * 100 + 64)),
  );
  expect(pump(new Gather(pieces), from, to).arrived.equals(wanted)).toBe(true);
});

test("the last piece may be shorter, and whole again the next time", () => {
  const [a, b] = socketPair();
  using from = a;
  using to = b;
  const head = pattern(40, 1);
  const body = pattern(1000, 2);
  const gather = new Gather([head, body].map((m) => ({ address: addressOf(m), length: m.length })));
  for (const used of [1000, 10, 0, 999, 1000]) {
    gather.rewind(used);
    expect(gather.total).toBe(40 + used);
    expect(
      pump(gather, from, to).arrived.equals(Buffer.concat([head, body.subarray(0, used)])),
    ).toBe(true);
  }
});

test("a rewind in the middle of a piece starts from its beginning", () => {
  const [a, b] = socketPair();
  using from = a;
  using to = b;
  setOption(from, SOL_SOCKET, SO_SNDBUF, 4096);
  const body = pattern(500_000, 3);
  const gather = new Gather([{ address: addressOf(body), length: body.length }]);
  expect(gather.send(from)).toBe("again");
  const gone = body.length - gather.left;
  expect(gone).toBeGreaterThan(0);
  gather.rewind();
  const { arrived } = pump(gather, from, to);
  expect(arrived.equals(Buffer.concat([body.subarray(0, gone), body]))).toBe(true);
});

test("a closed peer is an errno, not a signal and not an exception", () => {
  const [from, to] = socketPair();
  to[Symbol.dispose]();
  using _from = from;
  const body = pattern(100, 1);
  expect(new Gather([{ address: addressOf(body), length: 100 }]).send(from)).toBe(-32);
});

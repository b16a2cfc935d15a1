import { expect, test } from "bun:test";
import fc from "fast-check";
import { int, ior, iow, iowr } from "../../ffi/ioctl.ts";
import { addressOf, cString } from "../../ffi/libc.ts";
import {
  bytes,
  hostIsLittle,
  i32,
  n64,
  struct,
  text,
  u8,
  u16,
  u32,
  u64,
  words,
} from "../../ffi/struct.ts";

const members = {
  a: u8(0),
  b: u16(2),
  c: u32(4),
  d: i32(8),
  e: u64(16),
  f: n64(24),
  w: words(32, 2),
  t: text(40, 8),
};
const big = struct("big", 48, members, "big");
const host = struct("host", 48, members);

test("the host is little-endian, as the tables of kernel structs assume", () => {
  expect(hostIsLittle).toBe(true);
});

test("members are stored at their offsets in the struct's byte order", () => {
  const s = big.alloc();
  s.b = 0x0102;
  s.c = 0x03040506;
  s.e = 0x0708090a0b0c0d0en;
  s.w.set(1, 0x11121314);
  expect([...s.$bytes.subarray(0, 8)]).toEqual([0, 0, 1, 2, 3, 4, 5, 6]);
  expect([...s.$bytes.subarray(16, 24)]).toEqual([7, 8, 9, 10, 11, 12, 13, 14]);
  expect([...s.$bytes.subarray(36, 40)]).toEqual([0x11, 0x12, 0x13, 0x14]);
  const h = host.alloc();
  h.c = 0x03040506;
  expect([...h.$bytes.subarray(4, 8)]).toEqual([6, 5, 4, 3]);
});

test("what is written is read, in both byte orders, for 2,000 random values", () => {
  const safe = fc.maxSafeInteger().map(Math.abs);
  const u32s = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(
      u32s,
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      safe,
      (c, d, e, f) => {
        for (const type of [big, host]) {
          const s = type.alloc();
          Object.assign(s, { c, d, e, f });
          expect([s.c, s.d, s.e, s.f]).toEqual([c, d, e, f]);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test("64 bits as a number are rounded above 2^53 and stay out of range", () => {
  const s = big.alloc();
  s.$bytes.fill(0xff);
  expect(s.f).toBe(2 ** 64);
});

test("a text ends at its first NUL or with its field", () => {
  const s = host.alloc();
  s.$bytes.set(new TextEncoder().encode("abc\0defg"), 40);
  expect(s.t).toBe("abc");
  s.$bytes.fill(0x78, 40, 48);
  expect(s.t).toBe("xxxxxxxx");
});

test("words and bytes outside their field are refused", () => {
  const s = host.alloc();
  expect(() => s.w.get(2)).toThrow(RangeError);
  expect(() => s.w.set(-1, 0)).toThrow(RangeError);
  const b = struct("b", 4, { raw: bytes(0, 4) }).alloc();
  expect(() => {
    b.raw = new Uint8Array(5);
  }).toThrow(RangeError);
});

test("a member outside its struct, or a struct outside its memory, is refused", () => {
  expect(() => struct("bad", 4, { a: u32(1) })).toThrow("bad.a is outside");
  expect(() => host.over(new Uint8Array(47))).toThrow(RangeError);
  expect(() => host.over(new Uint8Array(100), 60)).toThrow(RangeError);
});

test("a struct's memory stays where it is while garbage is collected", () => {
  const s = host.alloc();
  const before = s.$address;
  for (let i = 0; i < 200; i++) new Uint8Array(100_000);
  Bun.gc(true);
  s.c = 77;
  expect([s.$address, addressOf(s.$bytes)]).toEqual([before, before]);
});

test("ioctl codes are positive and refuse structs the size field cannot hold", () => {
  expect(iowr("X", "V", 17, host).code).toBe(0xc0305611);
  expect([iow("X", "V", 1, int).code, ior("X", "V", 1, int).code]).toEqual([
    0x40045601, 0x80045601,
  ]);
  expect(() => iowr("X", "V", 1, struct("huge", 16_384, {}))).toThrow("16384 bytes do not fit");
});

test("a text with a NUL inside cannot become a C string", () => {
  expect(() => cString("a\0b")).toThrow(TypeError);
  expect([...cString("ab")]).toEqual([97, 98, 0]);
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import { STAMP_BYTES, StampChecker, StampedBuffer } from "../../src/format/stamp.ts";

function picture(length: number): { bytes: Uint8Array<ArrayBuffer>; stamped: StampedBuffer } {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8)) & 0xff;
  return { bytes, stamped: new StampedBuffer(bytes) };
}

test("a stamp has the picture's number and a checksum of its bytes", () => {
  const { bytes, stamped } = picture(1000);
  for (const sequence of [0, 1, 0xffff_ffff, 0x1_0000_0000, 2 ** 53 - 1]) {
    stamped.write(sequence);
    expect(stamped.read()).toBe(sequence);
  }
  stamped.write(0x0102_0304_0506);
  // Big endian: magic, nothing, number, CRC of the picture, nothing, CRC of the stamp.
  const view = new DataView(bytes.buffer);
  expect(new TextDecoder().decode(bytes.subarray(0, 4))).toBe("FPS1");
  expect(view.getBigUint64(8)).toBe(0x0102_0304_0506n);
  expect(view.getUint32(16)).toBe(Bun.hash.crc32(bytes.subarray(32)));
  expect(view.getUint32(28)).toBe(Bun.hash.crc32(bytes.subarray(0, 28)));
});

test("a single changed byte is detected: torn, or not stamped if it is in the magic", () => {
  const { bytes, stamped } = picture(4096);
  stamped.write(77);
  const at = fc.integer({ min: 0, max: bytes.length - 1 });
  fc.assert(
    fc.property(at, fc.integer({ min: 1, max: 255 }), (index, change) => {
      bytes[index] = (bytes[index] ?? 0) ^ change;
      expect(stamped.read()).toBe(index < 4 ? "not stamped" : "torn");
      bytes[index] = (bytes[index] ?? 0) ^ change;
    }),
    { numRuns: 5000 },
  );
  expect(stamped.read()).toBe(77);
});

test("every changed byte of a small picture is detected", () => {
  const { bytes, stamped } = picture(STAMP_BYTES + 200);
  stamped.write(5);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (bytes[i] ?? 0) ^ 1;
    expect(stamped.read()).toBe(i < 4 ? "not stamped" : "torn");
    bytes[i] = (bytes[i] ?? 0) ^ 1;
  }
});

test("the upper half of one picture over the lower half of another is torn", () => {
  const one = picture(2000);
  const other = picture(2000);
  one.stamped.write(1);
  other.bytes.fill(9, 40);
  other.stamped.write(2);
  one.bytes.set(other.bytes.subarray(1000), 1000);
  expect(one.stamped.read()).toBe("torn");
});

test("a picture that is shorter or longer than it was stamped is torn; without room for a stamp it has none", () => {
  const { stamped } = picture(1000);
  stamped.write(3);
  expect(stamped.read(999)).toBe("torn");
  expect(stamped.read(STAMP_BYTES + 1)).toBe("torn");
  for (const length of [0, STAMP_BYTES, 1001, 2 ** 32]) {
    expect(stamped.read(length)).toBe("not stamped");
  }
  expect(stamped.read(1000)).toBe(3);
});

test("writing stamps the whole picture, also after a shorter one was read", () => {
  const { bytes, stamped } = picture(1000);
  stamped.write(1);
  stamped.read(500);
  stamped.write(2);
  expect(new StampedBuffer(bytes).read()).toBe(2);
});

test("a picture of zeros is all zero, any other without a stamp is not stamped", () => {
  const { bytes, stamped } = picture(1000);
  expect(stamped.read()).toBe("not stamped");
  bytes.fill(0);
  expect(stamped.read()).toBe("all zero");
  bytes[999] = 1;
  expect(stamped.read()).toBe("not stamped");
  expect(stamped.read(999)).toBe("all zero");
});

test("random bytes are never taken for a stamped picture", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: STAMP_BYTES + 1, maxLength: 200 }), (random) => {
      const bytes = new Uint8Array(random.slice().buffer as ArrayBuffer);
      expect(typeof new StampedBuffer(bytes).read()).toBe("string");
      bytes.set([0x46, 0x50, 0x53, 0x31]);
      expect(new StampedBuffer(bytes).read()).toBe("torn");
    }),
    { numRuns: 2000 },
  );
});

test("a buffer without room for a stamp is refused", () => {
  expect(() => picture(STAMP_BYTES)).toThrow(RangeError);
  expect(() => picture(STAMP_BYTES + 1)).not.toThrow();
});

test("the checker accepts rising numbers, gaps included, and counts the pictures", () => {
  const { stamped } = picture(500);
  const checker = new StampChecker();
  for (const sequence of [0, 1, 5, 100]) {
    stamped.write(sequence);
    expect(checker.check(stamped, 500, sequence)).toBeUndefined();
  }
  expect(checker.verified).toBe(4);
});

test("the checker names what is wrong: wrong number, frozen, torn, all zero, no stamp", () => {
  const { bytes, stamped } = picture(500);
  const checker = new StampChecker();
  stamped.write(7);
  expect(checker.check(stamped, 500, 7)).toBeUndefined();
  stamped.write(8);
  expect(checker.check(stamped, 500, 9)).toBe("wrong: stamped 8");
  stamped.write(7);
  expect(checker.check(stamped, 500, 7)).toBe("frozen: stamped 7 once more");
  stamped.write(6);
  expect(checker.check(stamped, 500, 6)).toBe("frozen: stamped 6 after 7");
  expect(checker.check(stamped, 499, 8)).toBe("torn");
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  expect(checker.check(stamped, 500, 6)).toBe("torn");
  bytes[0] = 0;
  expect(checker.check(stamped, 500, 8)).toBe("wrong: no stamp");
  bytes.fill(0);
  expect(checker.check(stamped, 500, 8)).toBe("all zero");
  expect(checker.verified).toBe(1);
  checker.restart(); // the next stream may begin at 0 again
  stamped.write(0);
  expect(checker.check(stamped, 500, 0)).toBeUndefined();
  expect(checker.verified).toBe(2);
});

test("in a stream that is joined in the middle the first stamp counts as the start, and later ones must keep the distance", () => {
  const { stamped } = picture(500);
  const checker = new StampChecker();
  for (const [stamp, sequence] of [
    [40, 0],
    [41, 1],
    [45, 5],
  ] as const) {
    stamped.write(stamp);
    expect(checker.check(stamped, 500, sequence)).toBeUndefined();
  }
  stamped.write(47);
  expect(checker.check(stamped, 500, 6)).toBe("wrong: stamped 47");
  expect(checker.verified).toBe(3);
});

import { expect, test } from "bun:test";
import fc from "fast-check";
import { ProtocolError } from "../../../src/errors.ts";
import type { Handle } from "../../../src/frame/sharing.ts";
import { checkFrame } from "../../../src/stream/hello.ts";
import {
  checkHandle,
  handleMessage,
  idOf,
  makeHandle,
  wordsOf,
  zcAck,
  zcFrame,
} from "../../../src/stream/zero-copy/messages.ts";

const cases = { numRuns: 20_000 };
const u32 = fc.nat(0xffff_ffff);
const id = fc.bigInt(0n, 2n ** 64n - 1n);
const length = fc.integer({ min: 1, max: 0xffff_ffff });
const handles: fc.Arbitrary<Handle> = fc.oneof(
  fc.record({ kind: fc.constant("descriptor" as const), id, length }),
  fc.record({ kind: fc.constant("region" as const), id, length, offset: u32, generation: id }),
  fc
    .record({
      id,
      pages: fc.array(u32, { minLength: 1, maxLength: 24 }),
      domain: u32,
      cut: fc.nat(4095),
    })
    .map(({ id, pages, domain, cut }) => ({
      kind: "grants" as const,
      id,
      length: pages.length * 4096 - cut,
      pageBytes: 4096,
      domain,
      references: Uint32Array.from(pages),
    })),
);

test("sizes are the protocol's", () => {
  expect([handleMessage.size, zcFrame.size, zcAck.size]).toEqual([16_040, 48, 24]);
});

test("reading a handle message gives the handle it was made of, in 20,000 cases", () => {
  const property = fc.property(handles, (handle) => {
    expect(checkHandle(makeHandle(handle))).toEqual(handle);
  });
  fc.assert(property, cases);
});

test("a handle's bytes are at the offsets of docs/protocol.md", () => {
  const message = makeHandle({
    kind: "grants",
    id: 0x0102030405060708n,
    length: 8000,
    pageBytes: 4096,
    domain: 5,
    references: Uint32Array.of(0xaabbccdd, 7),
  });
  const hex = message.$bytes.subarray(0, 52).toHex();
  expect(hex).toBe(
    "56484e44000000010102030405060708" +
      "0000000000001f40" +
      "00000002" +
      "00001000" +
      "00000005" +
      "00000000" +
      "aabbccdd" +
      "00000007" +
      "00000000",
  );
});

test("random bytes are a valid handle or a ProtocolError, in 20,000 cases", () => {
  const message = handleMessage.alloc();
  const sound = makeHandle({ kind: "descriptor", id: 1n, length: 4096 });
  const changes = fc.array(fc.tuple(fc.nat(55), fc.nat(255)), { maxLength: 12 });
  const flags = fc.constantFrom(0, 1, 2, 3, 0x1_0000, 0x2_0000, 0x3_0000, 0xffff_ffff);
  let accepted = 0;
  const property = fc.property(flags, changes, fc.boolean(), (flag, bytes, pages) => {
    message.$bytes.set(sound.$bytes.subarray(0, 64));
    message.flags = flag;
    if (pages) {
      message.gref_count = 1;
      message.gref_page_size = 4096;
    }
    for (const [at, value] of bytes) message.$bytes[at] = value;
    let handle: Handle;
    try {
      handle = checkHandle(message);
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError);
      return;
    }
    accepted += 1;
    expect(handle.length).toBeWithin(1, 0x1_0000_0000);
    if (handle.kind === "grants") {
      expect(handle.references.length).toBeWithin(1, 4001);
      expect(handle.references.length * handle.pageBytes).toBeGreaterThanOrEqual(handle.length);
    }
    if (handle.kind === "region") expect(handle.offset).toBeWithin(0, 0x1_0000_0000);
  });
  fc.assert(property, cases);
  expect(accepted).toBeGreaterThan(100); // the property is not about refusals only
});

test("frames and acknowledgements carry 64-bit numbers as two words", () => {
  const property = fc.property(id, id, (handle, sequence) => {
    const frame = zcFrame.alloc();
    const view = new DataView(frame.$bytes.buffer);
    view.setBigUint64(16, handle);
    view.setBigUint64(24, sequence);
    expect(idOf(frame.handle_high, frame.handle_low)).toBe(handle);
    expect(wordsOf(handle)).toEqual({ high: frame.handle_high, low: frame.handle_low });
    const ack = zcAck.alloc();
    ack.handle_high = frame.handle_high;
    ack.handle_low = frame.handle_low;
    ack.sequence_high = frame.sequence_high;
    ack.sequence_low = frame.sequence_low;
    const back = new DataView(ack.$bytes.buffer);
    expect([back.getBigUint64(8), back.getBigUint64(16)]).toEqual([handle, sequence]);
  });
  fc.assert(property, cases);
});

test("a frame larger than the stream's is refused with both numbers", () => {
  const frame = zcFrame.alloc();
  frame.magic = 0x5652464d;
  frame.bytesused = 101;
  expect(() => checkFrame(frame, 100)).toThrow("bytesused is 101, must be 0 to 100");
  frame.bytesused = 100;
  checkFrame(frame, 100);
});

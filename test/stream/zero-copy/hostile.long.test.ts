// Peers that send anything: each case is a valid conversation with some bytes changed, truncated somewhere. The stream ends
// with an expected error, no byte outside a buffer is read, and no descriptor or mapping is left.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { Fd } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { finishSending, socketPair } from "../../../ffi/socket.ts";
import { isExpected } from "../../../src/errors.ts";
import { fourcc } from "../../../src/format/formats.ts";
import type { Taken } from "../../../src/frame/stream-output.ts";
import { Loop } from "../../../src/loop.ts";
import { importDescriptors } from "../../../src/share/fd.ts";
import type { Waiting } from "../../../src/stream/connection.ts";
import { FRAME_MAGIC, hello, makeHello } from "../../../src/stream/hello.ts";
import { borrowFrames } from "../../../src/stream/zero-copy/borrow.ts";
import { noCounts } from "../../../src/stream/zero-copy/lend-counts.ts";
import {
  handleMessage,
  makeHandle,
  zcAck,
  zcFrame,
} from "../../../src/stream/zero-copy/messages.ts";
import { leftBehind, nothing } from "../../support/resources.ts";
import { lend, put, sharedTestSource, takeAll } from "../../support/streams.ts";

const runs = 20_000;
const picture = { width: 16, height: 8, pixelformat: fourcc("YUYV"), sizeimage: 256 };
const never = new AbortController().signal;
const byte = fc.nat(255);
/** Which byte of a message is replaced by what. Of a handle the first 64 bytes matter most. */
const changes = (size: number) => fc.array(fc.tuple(fc.nat(size - 1), byte), { maxLength: 3 });
type Changes = [number, number][];
/** Changes no byte in most cases. */
const sometimes = (size: number): fc.Arbitrary<Changes> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant<Changes>([]) },
    { weight: 1, arbitrary: changes(size) },
  );

interface Case {
  readonly hello: Changes;
  readonly handles: Changes[];
  readonly frames: { index: number; bytesused: number; changes: Changes }[];
  readonly descriptors: number;
  readonly cut: number;
}
const cases: fc.Arbitrary<Case> = fc.record({
  hello: sometimes(28),
  handles: fc.array(sometimes(64), { minLength: 1, maxLength: 3 }),
  frames: fc.array(
    fc.record({
      index: fc.integer({ min: 0, max: 8 }).map((i) => (i > 4 ? 1 : i)),
      bytesused: fc.oneof(
        { weight: 8, arbitrary: fc.nat(256) },
        { weight: 1, arbitrary: fc.nat(0xffff_ffff) },
      ),
      changes: sometimes(48),
    }),
    { maxLength: 5 },
  ),
  descriptors: fc.constantFrom(1, 1, 1, 1, 1, 1, 0, 2),
  cut: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(48) }),
});

function apply(bytes: Uint8Array<ArrayBuffer>, list: Changes) {
  for (const [at, value] of list) bytes[at] = value;
  return bytes;
}

/** Sends the conversation of a case. */
function speak(socket: Fd, of: Case, memory: Fd): void {
  put(socket, apply(makeHello(picture, of.handles.length).$bytes, of.hello));
  for (const [i, list] of of.handles.entries()) {
    const id = BigInt(i + 1);
    const bytes = apply(makeHandle({ kind: "descriptor", id, length: 256 }).$bytes, list);
    const descriptors = new Array<number>(of.descriptors).fill(memory.number);
    if (sendWithDescriptors(socket, addressOf(bytes), bytes.length, descriptors) < 0) return;
  }
  const frames = of.frames.flatMap(({ index, bytesused, changes: list }) => {
    const frame = zcFrame.alloc();
    frame.magic = FRAME_MAGIC;
    frame.handle_low = index;
    frame.bytesused = bytesused;
    return [...apply(frame.$bytes, list)];
  });
  put(socket, new Uint8Array(frames).slice(0, Math.max(0, frames.length - of.cut)));
}

test("a receiver survives 20,000 hostile senders", async () => {
  let read = 0;
  let refused = 0;
  let closed = 0;
  const left = await leftBehind("memfd:framepass", async () => {
    using loop = new Loop();
    using memory = Fd.memory("framepass", 256);
    using importer = importDescriptors();
    const one = async (of: Case) => {
      const [near, far] = socketPair();
      using _near = near;
      using _far = far;
      speak(near, of, memory);
      finishSending(near);
      const options = {
        maxFrame: 1024,
        stallMs: 1000,
        importers: [importer],
        openView: (
          _: unknown,
          buffers: readonly { mapping: { length: number } }[],
          waiting: Waiting,
        ) => ({
          take(index: number, frame: { bytesused: number }): Taken {
            read += 1;
            if (read % 7 === 0) for (let i = 0; i < buffers.length; i++) waiting.returned(i);
            expect(frame.bytesused).toBeLessThanOrEqual(buffers[index]?.mapping.length ?? -1);
            return read % 3 === 0 ? "held" : "taken";
          },
          [Symbol.dispose]: () => undefined,
        }),
        started: () => undefined,
        taken: () => true,
      };
      try {
        await borrowFrames({ loop, socket: far, signal: never, ...options });
        closed += 1;
      } catch (error) {
        refused += 1;
        if (!isExpected(error)) throw error;
      }
    };
    await loop.run(fc.assert(fc.asyncProperty(cases, one), { numRuns: runs }));
  });
  expect(left).toEqual(nothing);
  expect(refused + closed).toBe(runs);
  expect(read).toBeGreaterThan(runs / 10); // enough of them get past the hello
  expect(closed).toBeGreaterThan(runs / 50);
}, 120_000);

const acks = fc.array(
  fc.record({
    handle: fc.integer({ min: 1, max: 3 }),
    sequence: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1, 7),
    changes: sometimes(24),
    cut: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(24) }),
  }),
  { maxLength: 8 },
);

test("a sender survives 20,000 hostile receivers, and every buffer is given back", async () => {
  const counts = noCounts();
  let refused = 0;
  const left = await leftBehind("memfd:framepass", async () => {
    using loop = new Loop();
    using shared = sharedTestSource({ buffers: 3, width: 16, height: 8 });
    const greeting = hello.size + 3 * handleMessage.size;
    const one = async (
      list: {
        handle: number;
        sequence: number;
        changes: Changes;
        cut: number;
      }[],
    ) => {
      const [near, far] = socketPair();
      using _near = near;
      using _far = far;
      const bytes = list.flatMap(({ handle, sequence, changes: at, cut }) => {
        const ack = zcAck.alloc();
        ack.magic = FRAME_MAGIC;
        ack.handle_low = handle;
        ack.sequence = Math.max(0, handle - 1 + sequence); // buffers are lent in order at first
        return [...apply(ack.$bytes, at).subarray(0, zcAck.size - cut)];
      });
      const lending = lend(loop, near, shared, { frames: 4, counts, ackTimeoutMs: 5000 });
      await loop.sleep(0, never); // the frames were sent
      put(far, new Uint8Array(bytes));
      finishSending(far);
      try {
        await lending;
      } catch (error) {
        refused += 1;
        if (!isExpected(error)) throw error;
      }
      expect(takeAll(far, 1 << 17).length).toBeGreaterThanOrEqual(greeting);
      for (const { lent } of shared.source.frames) expect(lent).toBe(false);
    };
    await loop.run(fc.assert(fc.asyncProperty(acks, one), { numRuns: runs }));
  });
  expect(left).toEqual(nothing);
  expect(counts.returned).toBeGreaterThan(runs / 10);
  expect(refused).toBeGreaterThan(runs / 2);
}, 120_000);

// A peer that closes with bytes unread resets the connection (tcp_close, unix_release_sock). Between two messages this is a
// close like any other, inside a message it is an error. The C sender_zc that is one acknowledgement late leaves so.
import { expect, test } from "bun:test";
import { sendWithDescriptors } from "../../ffi/descriptors.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { send } from "../../ffi/socket.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { importDescriptors } from "../../src/share/fd.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { frameHeader } from "../../src/stream/copy/messages.ts";
import { receiveFrames } from "../../src/stream/copy/receive.ts";
import { FRAME_MAGIC, makeHello } from "../../src/stream/hello.ts";
import { borrowFrames } from "../../src/stream/zero-copy/borrow.ts";
import { makeHandle, zcFrame } from "../../src/stream/zero-copy/messages.ts";
import { openConsumer } from "../../src/stream/zero-copy/view-target.ts";
import { never, onLoop, put } from "../support/streams.ts";

const picture = { width: 16, height: 8, pixelformat: 0x56595559, sizeimage: 256 };
const failure = (task: Promise<unknown>) => task.catch((error: Error) => error.message);

/** Leaves a byte for `to`, which `to` never reads: its close then resets the connection. */
function leaveUnread(from: Fd): void {
  const byte = new Uint8Array(new ArrayBuffer(1));
  expect(send(from, addressOf(byte), 1)).toBe(1);
}

/** What a receiver says about a sender that sent `parts` and closed with a byte unread. */
const copyEnds = (parts: readonly Uint8Array<ArrayBuffer>[]) =>
  onLoop(async (loop, near, far) => {
    for (const part of parts) put(near, part);
    leaveUnread(far);
    near.close();
    let frames = 0;
    const end = await failure(
      receiveFrames({
        loop,
        socket: far,
        signal: never,
        maxFrame: 1000,
        stallMs: 2000,
        openTarget: (stream, waiting) =>
          new MemoryTarget(stream, { allocator: memfdAllocator }, waiting),
        started: () => undefined,
        taken: () => {
          frames += 1;
          return true;
        },
      }),
    );
    return { frames, end };
  });

test("a sender that resets the connection between two frames has left, inside a frame it is an error", async () => {
  const header = frameHeader.alloc();
  Object.assign(header, { magic: FRAME_MAGIC, bytesused: 256 });
  const frame = [header.$bytes, new Uint8Array(new ArrayBuffer(256))];
  const hello = makeHello(picture, 2).$bytes;
  expect(await copyEnds([hello, ...frame, ...frame])).toEqual({ frames: 2, end: "closed" });
  const broken = await copyEnds([hello, ...frame, header.$bytes.slice(0, 20)]);
  expect(broken.frames).toBe(1);
  expect(broken.end).toContain("recv socketpair: ECONNRESET");
});

/** The same for zero copy. The sender reads no acknowledgement, and sends its last frame just before it closes. */
const lendEnds = (frames: number, rest: number) =>
  onLoop(async (loop, near, far) => {
    using memory = Fd.memory("lent", 256);
    put(near, makeHello(picture, 1).$bytes);
    const handle = makeHandle({ kind: "descriptor", id: 1n, length: 256 }).$bytes;
    sendWithDescriptors(near, addressOf(handle), handle.length, [memory.number]);
    const message = zcFrame.alloc();
    Object.assign(message, { magic: FRAME_MAGIC, bytesused: 256, handle_low: 1 });
    let taken = 0;
    const reading = failure(
      borrowFrames({
        loop,
        socket: far,
        signal: never,
        maxFrame: 1000,
        stallMs: 2000,
        importers: [importDescriptors()],
        openView: openConsumer({}),
        started: () => undefined,
        taken: () => {
          taken += 1;
          return true;
        },
      }),
    );
    for (let i = 0; i < frames; i++) {
      for (let tries = 0; taken < i && tries < 500; tries++) await loop.sleep(1, never);
      message.sequence = i;
      put(near, message.$bytes);
    }
    if (rest > 0) put(near, message.$bytes.slice(0, rest));
    near.close();
    return { end: await reading, taken };
  });

test("a sender_zc that closes with acknowledgements unread has left, and all its frames are read", async () => {
  expect(await lendEnds(1, 0)).toEqual({ end: "closed", taken: 1 });
  expect(await lendEnds(3, 0)).toEqual({ end: "closed", taken: 3 });
  const broken = await lendEnds(3, 20);
  expect(broken.end).toMatch(/ECONNRESET|closed after 20 of the 48 bytes of a frame/);
});

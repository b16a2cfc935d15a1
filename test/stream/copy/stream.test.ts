// The copy flow over socket pairs: sender and receiver with each other, and each with a peer that breaks the protocol.
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import type { Fd } from "../../../ffi/fd.ts";
import { Gather } from "../../../ffi/gather.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { receive, socketPair } from "../../../ffi/socket.ts";
import { openTestSource } from "../../../src/capture/testsrc.ts";
import { log } from "../../../src/cli/log.ts";
import { StreamStats } from "../../../src/cli/stats.ts";
import { ProtocolError } from "../../../src/errors.ts";
import { StampChecker } from "../../../src/format/stamp.ts";
import { memfdAllocator } from "../../../src/frame/memory.ts";
import type { Loop } from "../../../src/loop.ts";
import type { ReceiveEnd } from "../../../src/stream/connection.ts";
import { MemoryTarget } from "../../../src/stream/copy/memory-target.ts";
import { frameHeader } from "../../../src/stream/copy/messages.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../../src/stream/copy/receive.ts";
import { sendFrames } from "../../../src/stream/copy/send.ts";
import { FRAME_MAGIC, makeHello } from "../../../src/stream/hello.ts";
import { onLoop } from "../../support/loop.ts";
import { leftBehind, nothing } from "../../support/resources.ts";

let level = log.level;
beforeAll(() => {
  level = log.level;
  log.level = -1;
});
afterAll(() => {
  log.level = level;
});

const wish = { width: 64, height: 48, format: "YUYV", fps: 0, buffers: 3 };
const picture = { width: 64, height: 48, pixelformat: 0x56595559, sizeimage: 64 * 48 * 2 };
const never = new AbortController().signal;
const stats = (loop: Loop) =>
  new StreamStats(loop, { stats: 0, json: false }, () => ({ drops: {}, errors: 0 }));

interface Seen {
  frames: number[];
  sizes: number[];
  checker: StampChecker;
}

/** Receives from `socket` until the end. Returns how it ended and which frames came. */
async function take(loop: Loop, socket: Fd, most = Number.POSITIVE_INFINITY, stallMs = 2000) {
  const seen: Seen = { frames: [], sizes: [], checker: new StampChecker() };
  const end: ReceiveEnd = await receiveFrames({
    loop,
    socket,
    signal: never,
    maxFrame: 1_000_000,
    stallMs,
    openTarget: (stream, waiting) =>
      new MemoryTarget(stream, { allocator: memfdAllocator, checker: seen.checker }, waiting),
    started: () => undefined,
    taken: ({ sequence, bytesused }) => {
      seen.frames.push(sequence);
      seen.sizes.push(bytesused);
      return seen.frames.length < most;
    },
  });
  return { end, ...seen };
}

test("the receiver gets every byte that the sender sends, in order, and no descriptor or mapping is left", async () => {
  const left = await leftBehind("framepass", async () => {
    await onLoop(async (loop) => {
      const [a, b] = socketPair();
      using from = a;
      using to = b;
      using source = openTestSource("testsrc", wish);
      source.start();
      const options = {
        latest: false,
        frames: 500,
        stats: stats(loop),
        passed: () => undefined,
        stallMs: 2000,
      };
      const sending = sendFrames({ loop, socket: from, source, ...options, signal: never }).then(
        (end) => {
          from[Symbol.dispose]();
          return end;
        },
      );
      const [sent, received] = await Promise.all([sending, take(loop, to)]);
      expect(sent).toBe("done");
      expect(received.end).toBe("closed");
      expect(received.checker.verified).toBe(500);
      expect(received.frames).toEqual(Array.from({ length: 500 }, (_, i) => i));
    });
  });
  expect(left).toEqual(nothing);
});

/** Sends `parts`, then closes. */
async function feed(loop: Loop, to: Fd, parts: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
  for (const part of parts) {
    if (part.length === 0) continue;
    const gather = new Gather([{ address: addressOf(part), length: part.length }]);
    for (let tries = 0; gather.send(to) === "again"; tries++) {
      if (tries > 2000) throw new Error("the receiver does not read");
      await loop.sleep(1, never);
    }
  }
  to[Symbol.dispose]();
}

/** A hello and one valid frame of zeros, with the fields of `change` replaced. */
function stream(
  change: { hello?: Record<string, number>; frame?: Record<string, number>; payload?: number } = {},
) {
  const head = Object.assign(makeHello(picture, 3), change.hello).$bytes;
  const header = frameHeader.alloc();
  Object.assign(
    header,
    { magic: FRAME_MAGIC, index: 0, bytesused: picture.sizeimage, sequence: 0 },
    change.frame,
  );
  const payload = new Uint8Array(new ArrayBuffer(change.payload ?? picture.sizeimage));
  return { head, header: header.$bytes, payload };
}

/** Sends `parts` to a receiver. Returns how it ended, or its error text. */
async function hear(parts: readonly Uint8Array<ArrayBuffer>[], verify = false) {
  return await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using from = a;
    using to = b;
    const checker = verify ? new StampChecker() : undefined;
    const openTarget: CopyReceiveOptions["openTarget"] = (info, waiting) =>
      new MemoryTarget(info, { allocator: memfdAllocator, checker }, waiting);
    const options = {
      maxFrame: 1_000_000,
      stallMs: 2000,
      openTarget,
      started: () => undefined,
      taken: () => true,
    };
    const [heard] = await Promise.allSettled([
      receiveFrames({ loop, socket: to, ...options, signal: never }).finally(() =>
        to[Symbol.dispose](),
      ),
      feed(loop, from, parts).catch(() => undefined),
    ]);
    if (heard.status === "fulfilled") return heard.value;
    if (!(heard.reason instanceof ProtocolError)) throw heard.reason;
    return heard.reason.message;
  });
}

const { head, header, payload } = stream();

test.each([
  ["closes at once", [], "closed after 0 of the 28 bytes of a hello"],
  ["closes in the hello", [head.slice(0, 27)], "closed after 27 of the 28 bytes of a hello"],
  ["closes in a header", [head, header.slice(0, 39)], "closed after 39 of the 40 bytes of a frame"],
  [
    "closes in a payload",
    [head, header, payload.slice(0, 6143)],
    "closed after 6143 of the 6144 bytes of a payload",
  ],
  [
    "has a wrong magic in a frame",
    [head, stream({ frame: { magic: 7 } }).header],
    "frame: magic is 0x00000007",
  ],
  [
    "sends more than sizeimage",
    [head, stream({ frame: { bytesused: 6145 } }).header],
    "frame: bytesused is 6145, must be 0 to 6144",
  ],
])("a sender that %s is refused with a text that says so", async (_, parts, text) => {
  expect(await hear(parts)).toContain(text);
});

test("a close between two frames is the end of the stream, with and without frames before it", async () => {
  expect(await hear([head])).toBe("closed");
  expect(await hear([head, header, payload])).toBe("closed");
});

test("any buffer index is taken modulo buffer_count, and an empty frame is legal", async () => {
  const far = stream({ frame: { index: 0xffff_ffff } });
  const empty = stream({ frame: { bytesused: 0, sequence: 1 }, payload: 0 });
  expect(await hear([head, far.header, far.payload, empty.header])).toBe("closed");
});

test("a stream that arrives byte by byte is received", async () => {
  const all = Buffer.concat([head, header, payload.slice(0, 6144)]);
  const bytes = Array.from(all.subarray(0, 200), (byte) => Uint8Array.of(byte));
  expect(await hear([...bytes, new Uint8Array(all.subarray(200))])).toBe("closed");
});

test("--verify refuses a frame of zeros", async () => {
  expect(await hear([head, header, payload], true)).toContain(
    "frame 1, sequence 0, is all zero; 0 before it are right",
  );
});

test("the connection ends when the sender is silent in the middle of a message", async () => {
  await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using from = a;
    using to = b;
    const part = new Gather([{ address: addressOf(head), length: 20 }]);
    expect(part.send(from)).toBe("done");
    const failure = await take(loop, to, 1, 1000).catch((error: Error) => error.message);
    expect(failure).toContain("silent for 1 s after 20 of the 28 bytes of a hello");
  });
});

test("a sender whose messages are cut at the same place at every check is not silent", async () => {
  await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using from = a;
    using to = b;
    let frames = 0;
    const taking = receiveFrames({
      loop,
      socket: to,
      signal: never,
      maxFrame: 1_000_000,
      stallMs: 1500,
      openTarget: (info, waiting) => new MemoryTarget(info, { allocator: memfdAllocator }, waiting),
      started: () => undefined,
      taken: () => ++frames < 9,
    });
    const send = (bytes: Uint8Array<ArrayBuffer>) => {
      const gather = new Gather([{ address: addressOf(bytes), length: bytes.length }]);
      expect(gather.send(from)).toBe("done");
    };
    send(head);
    send(header);
    for (let i = 0; i < 8; i++) {
      await loop.sleep(500, never);
      send(payload);
      send(header);
    }
    send(payload);
    expect([await taking, frames]).toEqual(["enough", 9]);
  });
});

test("the connection ends when the receiver takes nothing, sends something or leaves", async () => {
  const attempt = (act: (to: Fd, loop: Loop) => Promise<void> | void) =>
    onLoop(async (loop) => {
      const [a, b] = socketPair();
      using from = a;
      using to = b;
      using source = openTestSource("testsrc", { ...wish, width: 1280, height: 720 });
      source.start();
      const options = {
        latest: false,
        frames: 50,
        stats: stats(loop),
        passed: () => undefined,
        stallMs: 1000,
      };
      const sending = sendFrames({ loop, socket: from, source, ...options, signal: never }).catch(
        (error: Error) => error.message,
      );
      await act(to, loop);
      return await sending;
    });
  expect(await attempt(() => undefined)).toMatch(
    /the receiver took nothing for 1 s, \d+ bytes of a message are left/,
  );
  expect(
    await attempt((to) => {
      const word = new Uint8Array(new ArrayBuffer(3));
      new Gather([{ address: addressOf(word), length: 3 }]).send(to);
    }),
  ).toContain("sent something, a receiver sends nothing");
  expect(await attempt((to) => to[Symbol.dispose]())).toMatch(
    /EPIPE|ECONNRESET|closed the connection/,
  );
});

test("with latest, a slow receiver gets the newest frames and the others are counted", async () => {
  await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using from = a;
    using to = b;
    using source = openTestSource("testsrc", { ...wish, width: 640, height: 480, fps: 200 });
    source.start();
    let passed = 0;
    const options = {
      latest: true,
      frames: 12,
      stats: stats(loop),
      passed: (n: number) => {
        passed += n;
      },
      stallMs: 2000,
    };
    const sending = sendFrames({ loop, socket: from, source, ...options, signal: never }).then(() =>
      from[Symbol.dispose](),
    );
    const chunk = new Uint8Array(new ArrayBuffer(200_000));
    let bytes = 0;
    for (;;) {
      const r = receive(to, addressOf(chunk), chunk.length);
      if (r === 0) break;
      if (r > 0) bytes += r;
      await loop.sleep(4, never);
    }
    await sending;
    expect(bytes).toBe(28 + 12 * (40 + 614_400));
    expect(passed).toBeGreaterThan(5);
  });
});

test("after a stop the current frame is completed, so that the receiver sees a clean end", async () => {
  await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using from = a;
    using to = b;
    using source = openTestSource("testsrc", { ...wish, width: 640, height: 480 });
    source.start();
    const stop = new AbortController();
    const options = {
      latest: false,
      frames: 1e9,
      stats: stats(loop),
      passed: () => undefined,
      stallMs: 2000,
    };
    const sending = sendFrames({
      loop,
      socket: from,
      source,
      ...options,
      signal: stop.signal,
    }).then((end) => {
      from[Symbol.dispose]();
      return end;
    });
    using _timer = loop.after(60, () => stop.abort());
    const [end, received] = await Promise.all([sending, take(loop, to)]);
    expect([end, received.end]).toEqual(["stopped", "closed"]);
    expect(received.checker.verified).toBe(received.frames.length);
    expect(received.frames.length).toBeGreaterThan(0);
  });
});

test("a slow target does not keep timers waiting for more than a turn", async () => {
  await onLoop(async (loop) => {
    const [a, b] = socketPair();
    using to = b;
    const feeding = feed(loop, a, [
      head,
      ...Array.from({ length: 12 }, () => [header, payload]).flat(),
    ]);
    await feeding; // all of it is in the socket's buffer
    let since = 0;
    let most = 0;
    using _timer = loop.every(1, () => {
      since = 0;
    });
    let frames = 0;
    await receiveFrames({
      loop,
      socket: to,
      signal: never,
      maxFrame: 1_000_000,
      stallMs: 2000,
      openTarget: (stream, waiting) =>
        new MemoryTarget(stream, { allocator: memfdAllocator }, waiting),
      started: () => undefined,
      taken: () => {
        Bun.sleepSync(15); // a slow screen
        most = Math.max(most, ++since);
        frames += 1;
        return true;
      },
    });
    expect(frames).toBe(12);
    expect(most).toBeLessThanOrEqual(3);
  });
});

test("20,000 random byte streams end their connection and do nothing else", async () => {
  const left = await leftBehind("framepass", async () => {
    const part = fc.oneof(
      fc.constant(head),
      fc.constant(header),
      fc.constant(payload),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => new Uint8Array(bytes)),
    );
    await onLoop(async (loop) => {
      await fc.assert(
        fc.asyncProperty(fc.array(part, { maxLength: 5 }), async (parts) => {
          const [a, b] = socketPair();
          using to = b;
          const all = new Uint8Array(Buffer.concat(parts));
          if (all.length > 0) new Gather([{ address: addressOf(all), length: all.length }]).send(a);
          a[Symbol.dispose]();
          const end = await take(loop, to).then(
            (seen) => seen.end,
            (error) => error,
          );
          if (end !== "closed" && !(end instanceof ProtocolError)) throw end;
        }),
        { numRuns: 20_000 },
      );
    }, 60_000);
  });
  expect(left).toEqual(nothing);
}, 60_000);

test("a sender that announces 64 buffers costs one: the next frame comes when this one was taken", async () => {
  const left = await leftBehind("framepass", () =>
    onLoop(async (loop) => {
      const [a, b] = socketPair();
      using from = a;
      using to = b;
      const announced = { ...picture, sizeimage: 64 << 20 };
      const allocated: number[] = [];
      const allocator = {
        ...memfdAllocator,
        allocate: (length: number) => {
          allocated.push(length);
          return memfdAllocator.allocate(length);
        },
      };
      const frames = Array.from({ length: 64 }, (_, index) => {
        const header = frameHeader.alloc();
        Object.assign(header, { magic: FRAME_MAGIC, index, bytesused: 100, sequence: index });
        return [header.$bytes, new Uint8Array(new ArrayBuffer(100))];
      });
      const receiving = receiveFrames({
        loop,
        socket: to,
        signal: never,
        maxFrame: 64 << 20,
        stallMs: 2000,
        openTarget: (stream, waiting) => new MemoryTarget(stream, { allocator }, waiting),
        started: () => undefined,
        taken: () => true,
      });
      const parts = [makeHello(announced, 64).$bytes, ...frames.flat()];
      const [end] = await Promise.all([receiving, feed(loop, from, parts)]);
      expect(end).toBe("closed");
      expect(allocated).toEqual([64 << 20]);
    }),
  );
  expect(left).toEqual(nothing);
});

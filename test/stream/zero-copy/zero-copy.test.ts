// Lending and borrowing over the fd back-end: what arrives, who owns a buffer when, and that nothing is left at the end.

import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { F_SEAL_GROW, Fd } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { IPPROTO_TCP, TCP_NODELAY } from "../../../ffi/linux/socket.ts";
import { accept, finishSending, getOption, listenOn, startConnect } from "../../../ffi/socket.ts";
import { fourcc } from "../../../src/format/formats.ts";
import { Loop } from "../../../src/loop.ts";
import { importDescriptors } from "../../../src/share/fd.ts";
import { FRAME_MAGIC, hello, makeHello } from "../../../src/stream/hello.ts";
import { parseAddress, resolveUnless } from "../../../src/stream/socket/address.ts";
import { noCounts } from "../../../src/stream/zero-copy/lend-counts.ts";
import {
  handleMessage,
  makeHandle,
  type ZcFrame,
  zcAck,
  zcFrame,
} from "../../../src/stream/zero-copy/messages.ts";
import { leftBehind, nothing } from "../../support/resources.ts";
import { borrow, lend, onLoop, put, sharedTestSource, takeAll } from "../../support/streams.ts";
import { freePort } from "../../support/tool.ts";

const memfd = "memfd:framepass";
const never = new AbortController().signal;

/** The message of the error that `operation` throws; undefined if it succeeds. */
const failure = (task: Promise<unknown>) =>
  task.then(
    () => undefined,
    (error: Error) => error.message,
  );

/** Runs the loop until `done` returns true. */
async function until(loop: Loop, done: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (done()) return;
    await loop.sleep(2, never);
  }
  throw new Error("waited in vain");
}

test("5,000 frames are read in the buffer where they were drawn, and every one is right", async () => {
  const left = await leftBehind(memfd, () =>
    onLoop(async (loop, near, far) => {
      using shared = sharedTestSource({ buffers: 8 });
      const counts = noCounts();
      const reading = borrow(loop, far, [importDescriptors()]).finally(() => far.close());
      expect(await lend(loop, near, shared, { frames: 5000, counts })).toBe("done");
      expect(await reading).toEqual({ verified: 5000, end: "closed" });
      expect(counts).toEqual({ returned: 5000, refused: 0, overdue: 0, late: 0, lost: 0 });
    }),
  );
  expect(left).toEqual(nothing);
});

/** A receiver that acknowledges only what the test says, and keeps the messages of the sender. */
function rawReceiver(loop: Loop, socket: Fd, buffers: number) {
  const seen: ZcFrame[] = [];
  let rest = new Uint8Array(new ArrayBuffer(0));
  let greeting = hello.size + buffers * handleMessage.size;
  const poll = () => {
    let bytes = takeAll(socket);
    const skipped = Math.min(greeting, bytes.length);
    greeting -= skipped;
    bytes = bytes.subarray(skipped);
    rest = new Uint8Array([...rest, ...bytes]);
    while (rest.length >= zcFrame.size) {
      seen.push(zcFrame.over(rest.slice(0, zcFrame.size)));
      rest = rest.slice(zcFrame.size);
    }
  };
  return {
    seen,
    frames: (count: number) =>
      until(loop, () => {
        poll();
        return seen.length >= count;
      }),
    pause: async () => {
      await loop.sleep(20, never);
      poll();
    },
    ack: (frame: ZcFrame | undefined, status = 0) => {
      const message = zcAck.alloc();
      message.magic = FRAME_MAGIC;
      message.status = status;
      message.handle_high = frame?.handle_high ?? 0;
      message.handle_low = frame?.handle_low ?? 0;
      message.sequence = frame?.sequence ?? 0;
      return message.$bytes;
    },
  };
}

test("all buffers but one are in flight, and each is used again only after its own acknowledgement", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 4 });
    const counts = noCounts();
    const lending = failure(lend(loop, near, shared, { frames: 1000, counts }));
    const peer = rawReceiver(loop, far, 4);
    await peer.frames(3);
    await peer.pause();
    expect(peer.seen.length).toBe(3);
    const [first, second, third] = peer.seen;
    put(far, peer.ack(second));
    await peer.frames(4);
    await peer.pause();
    expect(peer.seen.length).toBe(4);
    const held = [first?.handle_low, third?.handle_low];
    expect(held).not.toContain(peer.seen[3]?.handle_low);
    for (const frame of [peer.seen[3], third, first]) put(far, peer.ack(frame, 5));
    await peer.frames(7);
    expect(peer.seen.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    far.close();
    expect(await lending).toMatch(
      /the receiver closed the connection, \d frames? w(as|ere) lent to it/,
    );
    expect(counts.returned).toBe(4);
    expect(counts.lost).toBe(3);
    expect(counts.refused).toBe(3);
    expect(shared.source.frames.some(({ lent }) => lent)).toBe(false);
  }));

test("a frame that is not acknowledged in time stays lent", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 2 });
    const counts = noCounts();
    const lending = failure(lend(loop, near, shared, { frames: 9, counts, ackTimeoutMs: 20 }));
    const peer = rawReceiver(loop, far, 2);
    await peer.frames(1);
    await until(loop, () => counts.overdue === 1);
    await peer.pause();
    expect(peer.seen.length).toBe(1);
    put(far, peer.ack(peer.seen[0]));
    await peer.frames(2);
    far.close();
    await lending;
    expect(counts).toEqual({ returned: 1, refused: 0, overdue: 1, late: 0, lost: 1 });
  }));

test("--requeue-on-timeout: a late acknowledgement, even in two parts, returns no later frame", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 3 });
    const counts = noCounts();
    const options = { frames: 1000, counts, ackTimeoutMs: 20, requeue: true };
    const lending = failure(lend(loop, near, shared, options));
    const peer = rawReceiver(loop, far, 3);
    await peer.frames(2);
    const late = peer.ack(peer.seen[0]);
    put(far, late.slice(0, 10));
    await peer.frames(4); // both were taken back and lent again
    put(far, late.slice(10));
    await until(loop, () => counts.late === 1);
    const current = peer.seen.at(-1);
    put(far, peer.ack(current));
    await until(loop, () => counts.returned === 1 || counts.late === 2);
    await peer.frames(peer.seen.length + 1);
    const sequences = peer.seen.map(({ sequence }) => sequence);
    expect(sequences).toEqual(sequences.map((_, i) => i));
    far.close();
    expect(await lending).toContain("closed the connection");
  }));

test("an acknowledgement of a frame that is not lent ends the connection", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ buffers: 3 });
    const lending = failure(lend(loop, near, shared, { frames: 1000 }));
    const peer = rawReceiver(loop, far, 3);
    await peer.frames(1);
    put(far, peer.ack(peer.seen[0]));
    put(far, peer.ack(peer.seen[0]));
    expect(await lending).toContain("with sequence 0 is not lent");
  }));

/** Sends a hello and one handle with `descriptors`, for a picture of 16x8 YUYV (256 bytes). */
function greet(socket: Fd, descriptors: readonly number[], id = 1n, buffers = 1): void {
  const picture = { width: 16, height: 8, pixelformat: fourcc("YUYV"), sizeimage: 256 };
  if (id === 1n) put(socket, makeHello(picture, buffers).$bytes);
  const { $bytes } = makeHandle({ kind: "descriptor", id, length: 256 });
  const sent = sendWithDescriptors(socket, addressOf($bytes), $bytes.length, descriptors);
  if (sent !== $bytes.length) throw new Error(`sent ${sent} bytes of a handle`);
}

const sealed = () => Fd.memory("framepass-test", 4096);
const refusals: [string, () => Fd[], string][] = [
  ["no descriptor", () => [], "no descriptor came with it"],
  ["two descriptors", () => [sealed(), sealed()], "2 descriptors came with it"],
  ["a memfd that is too small", () => [Fd.memory("framepass-test", 255)], "has 255 bytes, not 256"],
  [
    "a memfd that can be truncated",
    () => [Fd.memory("framepass-test", 4096, F_SEAL_GROW)],
    "not sealed against shrinking",
  ],
  ["a file", () => [new Fd(openSync("/proc/self/exe", "r"), "file")], "neither a dma-buf nor"],
  ["/dev/zero", () => [new Fd(openSync("/dev/zero", "r"), "zero")], "neither a dma-buf nor"],
];
test.each(refusals)("a handle with %s is refused", async (_, make, text) => {
  const left = await leftBehind("memfd:framepass-test", () =>
    onLoop(async (loop, near, far) => {
      const given = make();
      greet(
        near,
        given.map(({ number }) => number),
      );
      for (const fd of given) fd.close();
      expect(await failure(borrow(loop, far, [importDescriptors()]))).toContain(text);
    }),
  );
  expect(left).toEqual(nothing);
});

test("a handle that comes twice, or of another kind, or a frame in no buffer is refused", async () => {
  const tries: [(socket: Fd, memory: Fd) => void, string][] = [
    [
      (socket, memory) => {
        greet(socket, [memory.number], 1n, 2);
        greet(socket, [memory.number], 2n);
      },
      "",
    ],
    [
      (socket) => {
        const picture = { width: 16, height: 8, pixelformat: fourcc("YUYV"), sizeimage: 256 };
        put(socket, makeHello(picture, 1).$bytes);
        const region = {
          kind: "region",
          id: 1n,
          length: 256,
          offset: 4096,
          generation: 1n,
        } as const;
        put(socket, makeHandle(region).$bytes);
      },
      "the sender has --share dax, this receiver takes fd; give both the same",
    ],
    [
      (socket, memory) => {
        greet(socket, [memory.number]);
        const frame = zcFrame.alloc();
        frame.magic = FRAME_MAGIC;
        frame.handle_low = 77;
        put(socket, frame.$bytes);
      },
      "handle_id 77 is none of this stream",
    ],
  ];
  for (const [act, text] of tries) {
    await onLoop(async (loop, near, far) => {
      using memory = sealed();
      act(near, memory);
      if (text === "") near.close();
      const told = failure(borrow(loop, far, [importDescriptors()]));
      expect((await told) ?? "").toContain(text);
    });
  }
  await onLoop(async (loop, near, far) => {
    using memory = sealed();
    greet(near, [memory.number], 1n, 2);
    const picture = makeHandle({ kind: "descriptor", id: 1n, length: 256 }).$bytes;
    sendWithDescriptors(near, addressOf(picture), picture.length, [memory.number]);
    expect(await failure(borrow(loop, far, [importDescriptors()]))).toContain("came twice");
  });
});

test("the connection ends when the sender is silent in the middle of a message", () =>
  onLoop(async (loop, near, far) => {
    using memory = sealed();
    greet(near, [memory.number]);
    put(near, zcFrame.alloc().$bytes.slice(0, 20));
    const told = await failure(borrow(loop, far, [importDescriptors()], { stallMs: 500 }));
    expect(told).toContain("silent for 0.5 s in the middle of a message");
  }));

test("1,000 connections that break off anywhere leave no descriptor and no mapping", async () => {
  const left = await leftBehind(memfd, async () => {
    using shared = sharedTestSource({ buffers: 4 });
    for (let cycle = 0; cycle < 1000; cycle++) {
      await onLoop(async (loop, near, far) => {
        const frames = cycle % 7;
        const reading = failure(
          borrow(loop, far, [importDescriptors()], { frames: frames + 1 }).finally(() =>
            far.close(),
          ),
        );
        const stop = new AbortController();
        const options = { frames: cycle % 2 === 0 ? 1000 : 3, signal: stop.signal };
        const lending = failure(
          lend(loop, near, shared, options).finally(() => {
            if (!near.closed) near.close();
          }),
        );
        if (cycle % 5 === 0) finishSending(near); // as if the sender had been killed here
        if (cycle % 5 === 1) stop.abort();
        await Promise.all([reading, lending]);
      });
      expect(shared.source.frames.some(({ lent }) => lent)).toBe(false);
    }
  });
  expect(left).toEqual(nothing);
}, 120_000);

test("a receiver that closes before the hello ends the connection with a reason", () =>
  onLoop(async (loop, near, far) => {
    using shared = sharedTestSource();
    far.close();
    expect(await failure(lend(loop, near, shared, { frames: 5 }))).toMatch(/closed|EPIPE/);
  }));

test("over TCP small messages do not wait for each other", async () => {
  using loop = new Loop();
  const [address] = await resolveUnless(
    loop,
    parseAddress("address", "127.0.0.1", Number(freePort())),
    never,
  );
  if (address === undefined) throw new Error("no address");
  using listener = listenOn(address);
  using near = startConnect(address);
  using far = accept(listener)?.socket ?? Fd.memory("none", 1);
  using shared = sharedTestSource();
  const reading = borrow(loop, far, [], { frames: 1 }).catch(() => undefined);
  const lending = lend(loop, near, shared, { frames: 1 }).catch(() => undefined);
  for (const socket of [near, far]) expect(getOption(socket, IPPROTO_TCP, TCP_NODELAY)).toBe(1);
  await loop.run(reading.finally(() => far.close()));
  await loop.run(lending);
});

// Why a stream is refused: the message, what a hostile receiver may put in it, and both flows over socket pairs.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { addressOf } from "../../ffi/libc.ts";
import { finishSending, send } from "../../ffi/socket.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { ProtocolError } from "../../src/errors.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import {
  MAX_REASON,
  makeRefusal,
  RefusalReader,
  Refused,
  refusal,
  refuse,
} from "../../src/stream/refusal.ts";
import { noCounts } from "../../src/stream/zero-copy/lend-counts.ts";
import { lend, never, onLoop, quietStats, sharedTestSource } from "../support/streams.ts";

/** Reads `bytes` as a sender does, 24 at a time. */
function read(bytes: Uint8Array<ArrayBuffer>): string | undefined {
  const reader = new RefusalReader();
  try {
    for (let at = 0; at < bytes.length; at += refusal.size) {
      const message = bytes.slice(at, at + refusal.size);
      if (reader.begun) reader.add(message, "peer");
      else if (!reader.begin(message, "peer")) return undefined;
    }
  } catch (error) {
    if (error instanceof ProtocolError) return error.message;
    throw error;
  }
  return "incomplete";
}

const prefix = "peer: the receiver refused the stream: ";

test("a reason of any length comes through, is cut at 480 bytes between two characters, and is one line", () => {
  for (const reason of ["x", "a".repeat(24), "a".repeat(25), "ü".repeat(100)])
    expect(read(makeRefusal(reason))).toBe(prefix + reason);
  expect(read(makeRefusal(""))).toBe(`${prefix}it gave no reason`);
  expect(read(makeRefusal(`${"a".repeat(MAX_REASON - 1)}ü`))).toBe(
    prefix + "a".repeat(MAX_REASON - 1),
  );
  expect(read(makeRefusal("red\x1b[31m\nnext\u202ereversed\u2028line"))).toBe(
    `${prefix}red?[31m?next?reversed?line`,
  );
});

test("a refusal that announces more than 480 bytes is refused itself, and random bytes are none", () => {
  const long = makeRefusal("x");
  refusal.over(long).length = MAX_REASON + 1;
  expect(read(long)).toBe("refusal: length is 481, must be 0 to 480");
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 24, maxLength: 24 }), (bytes) => {
      expect(read(new Uint8Array(bytes))).toBe(undefined);
    }),
    { numRuns: 2000 },
  );
});

test("both senders say why they were refused, and count the frames of that connection as not sent", async () => {
  const reason = "hello: width is 64, must be 1 to 32";
  await onLoop(async (loop, near, far) => {
    using source = openTestSource("testsrc", {
      width: 64,
      height: 48,
      format: "GREY",
      fps: 50,
      buffers: 3,
    });
    source.start();
    using stats = quietStats(loop);
    let passed = 0;
    const sending = sendFrames({
      loop,
      socket: near,
      source,
      latest: false,
      frames: Number.POSITIVE_INFINITY,
      stats,
      stallMs: 0,
      passed: (frames) => {
        passed += frames;
      },
      signal: never,
    }).catch((error: unknown) => error);
    await loop.sleep(100, never);
    const refusing = refuse(loop, far, reason, never).finally(() => far.close());
    const error = await sending;
    near.close();
    await refusing;
    expect(error).toBeInstanceOf(Refused);
    expect((error as Error).message).toBe(`socketpair: the receiver refused the stream: ${reason}`);
    expect([stats.frames, stats.bytes]).toEqual([0, 0]);
    expect(passed).toBeGreaterThan(0);
  });
  await onLoop(async (loop, near, far) => {
    using shared = sharedTestSource({ fps: 30 });
    const counts = noCounts();
    const lending = lend(loop, near, shared, { frames: 1000, counts }).catch((e: unknown) => e);
    await loop.sleep(100, never);
    await refuse(loop, far, reason, AbortSignal.abort());
    far.close();
    const error = await lending;
    expect(error).toBeInstanceOf(Refused);
    expect(counts).toEqual({ ...noCounts(), lost: expect.any(Number) });
    expect(counts.lost).toBeGreaterThan(0);
  });
});

test("a sender whose last frame was sent waits for the receiver's word, and no longer than 1 s", async () => {
  const attempt = (act: "refuse" | "close" | "nothing") =>
    onLoop(async (loop, near, far) => {
      using source = openTestSource("testsrc", {
        width: 16,
        height: 16,
        format: "GREY",
        fps: 0,
        buffers: 2,
      });
      source.start();
      using stats = quietStats(loop);
      const fromMs = performance.now();
      const options = { latest: false, frames: 2, stats, stallMs: 0, passed: () => undefined };
      const sending = sendFrames({ loop, socket: near, source, ...options, signal: never }).catch(
        (error: Error) => error.message,
      );
      if (act === "close") loop.after(50, () => far.close());
      if (act === "refuse") await refuse(loop, far, "no", AbortSignal.abort());
      const end = await sending;
      return { end, frames: stats.frames, tookMs: performance.now() - fromMs };
    });
  const refused = await attempt("refuse");
  expect(refused).toMatchObject({
    end: "socketpair: the receiver refused the stream: no",
    frames: 0,
  });
  const closed = await attempt("close");
  expect(closed).toMatchObject({ end: "done", frames: 2 });
  expect(closed.tookMs).toBeLessThan(900);
  const silent = await attempt("nothing");
  expect(silent).toMatchObject({ end: "done", frames: 2 });
  expect(silent.tookMs).toBeLessThan(1900);
});

test("a receiver that sends something else ends the sender at once", () =>
  onLoop(async (loop, near, far) => {
    using source = openTestSource("testsrc", {
      width: 16,
      height: 16,
      format: "GREY",
      fps: 30,
      buffers: 2,
    });
    source.start();
    using stats = quietStats(loop);
    const options = { latest: false, frames: 99, stats, stallMs: 0, passed: () => undefined };
    const sending = sendFrames({ loop, socket: near, source, ...options, signal: never }).catch(
      (error: Error) => error.message,
    );
    const http = new Uint8Array(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n"));
    send(far, addressOf(http), http.length);
    finishSending(far);
    expect(await sending).toContain("sent something, a receiver sends nothing; check --address");
  }));

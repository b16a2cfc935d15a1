// A connection's handlers: an error thrown by one ends the connection, and none is called after the end.
import { expect, test } from "bun:test";
import { EPOLLIN, EPOLLOUT } from "../../ffi/epoll.ts";
import type { Fd } from "../../ffi/fd.ts";
import { Loop } from "../../src/loop.ts";
import { Connection } from "../../src/stream/connection.ts";
import { never, onLoop } from "../support/streams.ts";

const nothing = () => undefined;
const fails = () => {
  throw new Error("thrown by a handler");
};

const registrations: [
  string,
  (connection: Connection<string>, socket: Fd, handler: () => void) => void,
][] = [
  ["watch", (connection, socket, handler) => connection.watch(socket.number, EPOLLOUT, handler)],
  ["every", (connection, _, handler) => connection.every(1, handler)],
  ["after", (connection, _, handler) => connection.after(1, handler)],
  ["deferred", (connection, _, handler) => connection.deferred(handler).ask()],
];

test.each(registrations)(
  "an error thrown by a handler of %s ends the connection",
  async (_, register) => {
    const message = await onLoop(async (loop, near) => {
      using connection = new Connection<string>(loop);
      register(connection, near, fails);
      return await connection.untilEnded(never, nothing).catch((error: Error) => error.message);
    });
    expect(message).toBe("thrown by a handler");
  },
);

test.each(registrations)(
  "a handler of %s is not called once the connection is disposed",
  async (_, register) => {
    await onLoop(async (loop, near) => {
      let calls = 0;
      {
        using connection = new Connection<string>(loop);
        register(connection, near, () => {
          calls += 1;
        });
      }
      await loop.sleep(20, never);
      expect(calls).toBe(0);
    });
  },
);

test("the first end counts, and handlers are not called after it", async () => {
  await onLoop(async (loop, near, far) => {
    using connection = new Connection<string>(loop);
    let calls = 0;
    connection.every(1, () => {
      calls += 1;
      connection.finish("first");
      connection.fail(new Error("second"));
    });
    connection.watch(far.number, EPOLLIN, fails);
    expect(await connection.untilEnded(never, nothing)).toBe("first");
    near.close(); // the other side becomes readable
    await loop.sleep(20, never);
    expect(calls).toBe(1);
  });
});

test("a stop that throws ends the connection", async () => {
  using loop = new Loop();
  using connection = new Connection<string>(loop);
  const ended = connection.untilEnded(AbortSignal.abort(), fails);
  const message = await loop.run(ended.catch((error: Error) => error.message));
  expect(message).toBe("thrown by a handler");
});

test("a message of which no byte comes for stallMs ends the connection; a pause between messages does not, nor does the same rest of another message", async () => {
  const run = (bytes: () => number, waiting: () => boolean, stallMs = 500) =>
    onLoop(async (loop) => {
      using connection = new Connection<string>(loop);
      connection.limitStalls({
        stallMs,
        waiting,
        bytes,
        text: (seconds) => `stalled for ${seconds} s`,
      });
      connection.after(2500, () => connection.finish("still there"));
      return await connection.untilEnded(never, nothing).catch((error: Error) => error.message);
    });
  let bytes = 0;
  const always = () => true;
  const ends = await Promise.all([
    run(() => 7, always),
    run(
      () => 7,
      () => false,
    ),
    run(() => ++bytes, always),
    run(() => 7, always, 0), // 0: for ever
  ]);
  expect(ends).toEqual(["stalled for 0.5 s", "still there", "still there", "still there"]);
});

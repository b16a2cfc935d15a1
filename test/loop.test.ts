// What the loop does with a handler that throws. The handlers of a connection are guarded in stream/connection.ts.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { EPOLLIN, Signal } from "../ffi/epoll.ts";
import { socketPair } from "../ffi/socket.ts";
import { Loop, type RuntimeWakes } from "../src/loop.ts";

/** Runs a task that owns something and waits; answers what was thrown, and whether the owner was disposed. */
async function runWith(start: (loop: Loop) => void) {
  using loop = new Loop();
  const seen = { disposed: false, caught: "", waitedAgain: "" };
  const task = async () => {
    using owned = new DisposableStack();
    owned.defer(() => {
      seen.disposed = true;
    });
    start(loop);
    try {
      await loop.sleep(3000, new AbortController().signal);
    } catch (error) {
      seen.caught = (error as Error).message;
      await loop.sleep(3000, new AbortController().signal).catch((again: Error) => {
        seen.waitedAgain = again.message; // code that tries again after an error cannot go on either
      });
      throw new Error("another one", { cause: error });
    }
  };
  const thrown = await loop.run(task()).then(
    () => "nothing",
    (error: Error) => error.message,
  );
  return { ...seen, thrown };
}

const ended = { disposed: true, caught: "full", waitedAgain: "full", thrown: "full" };
const fail = () => {
  throw new Error("full");
};

test("what a timer throws rejects the running task, so that everything it owns is disposed", async () => {
  expect(await runWith((loop) => loop.after(5, fail))).toEqual(ended);
  expect(await runWith((loop) => loop.every(5, fail))).toEqual(ended);
});

test("what a deferred handler or a watch throws rejects the running task", async () => {
  expect(
    await runWith((loop) => {
      const later = loop.deferred(fail);
      loop.after(5, () => later.ask());
    }),
  ).toEqual(ended);
  const [one, other] = socketPair();
  one.close(); // the other end is readable at once
  expect(await runWith((loop) => loop.watch(other.number, EPOLLIN, fail))).toEqual(ended);
  other.close();
});

test("after a handler threw no other is called, and a task that never ends is left behind", async () => {
  using loop = new Loop();
  let calls = 0;
  loop.every(1, () => {
    calls += 1;
    if (calls === 3) fail();
  });
  const fromMs = performance.now();
  const never = Promise.withResolvers<void>().promise;
  const thrown = await loop.run(never).catch((error: Error) => error.message);
  expect({ thrown, calls }).toEqual({ thrown: "full", calls: 3 });
  expect(performance.now() - fromMs).toBeLessThan(4000);
});

test("a loop can run again after a handler threw", async () => {
  using loop = new Loop();
  loop.after(1, fail);
  const first = loop.sleep(1000, new AbortController().signal);
  expect(await loop.run(first).catch((error: Error) => error.message)).toBe("full");
  expect(await loop.run(loop.sleep(1, new AbortController().signal))).toBeUndefined();
});

/** Runs a loop whose waits a descriptor of ours ends for the runtime, and counts timers of the runtime that came in time. */
async function runtimeTimersIn(
  runMs: number,
  settings: Partial<RuntimeWakes> & { limit?: boolean },
) {
  using signal = new Signal(settings.fd !== undefined);
  using loop = new Loop();
  let gaveUp = 0;
  loop.endWaitsBy({
    fd: signal.fd,
    timers: settings.timers ?? (() => false),
    gaveUp: () => {
      gaveUp += 1;
    },
  });
  using _limit = settings.limit === true ? loop.limitWaits() : undefined;
  let ticks = 0;
  const timer = setInterval(() => {
    ticks += 1;
  }, 100);
  await loop.run(loop.sleep(runMs, new AbortController().signal));
  clearInterval(timer);
  return { ticks, gaveUp };
}

test("a wait has no limit when the runtime can end it, unless timers of the runtime are set", async () => {
  expect((await runtimeTimersIn(2000, {})).ticks).toBeLessThan(8); // while the loop settles
  expect((await runtimeTimersIn(2000, { timers: () => true })).ticks).toBeGreaterThan(4);
  expect((await runtimeTimersIn(2000, { limit: true })).ticks).toBeGreaterThan(4);
});

test("a runtime that is woken for ever and does nothing is not listened to any more", async () => {
  const { ticks, gaveUp } = await runtimeTimersIn(3000, { fd: 0 });
  expect(gaveUp).toBe(1);
  expect(ticks).toBeGreaterThan(4); // the limit is back
});

test("a timer that is called late is not later the next time, and never early", async () => {
  using loop = new Loop();
  const fromMs = performance.now();
  const calledMs: number[] = [];
  loop.every(100, () => calledMs.push(performance.now() - fromMs));
  await loop.run(loop.sleep(1090, new AbortController().signal));
  for (const [i, atMs] of calledMs.entries())
    expect(atMs).toBeGreaterThanOrEqual((i + 1) * 100 - 1);
  expect(calledMs.length).toBeGreaterThanOrEqual(8); // 10; a busy machine skips some
});

test("handlers are called by the loop only: timers and signals of the runtime are used where they are known not to throw", () => {
  const known: Record<string, readonly string[]> = {
    "cli/tool.ts": ["process.on("], // aborts a signal
    "cli/realtime.ts": ["process.once("], // goes back to normal scheduling, writes a line
    "cli/terminal.ts": ["process.on("], // redraws the status line
    "cli/line-writer.ts": ["setTimeout("], // writes lines, ignores errors
    "metrics/page-files.ts": ["setTimeout("], // in the page's script, which a browser runs
    "metrics/page-worker.ts": ["setInterval("], // in the Worker, which has no loop of ours
    "metrics/picture-desk.ts": ["setTimeout("], // in the Worker
  };
  const top = join(import.meta.dir, "../src");
  for (const name of readdirSync(top, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue;
    const text = readFileSync(join(top, name), "utf8");
    const calls = text.match(/\b(setTimeout|setInterval|queueMicrotask|process\.(on|once))\(/g);
    expect({ name, calls: [...new Set(calls)] }).toEqual({ name, calls: [...(known[name] ?? [])] });
  }
});

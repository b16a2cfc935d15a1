// The limits of a decoder's process, with a real process and a loop of the test's own.
import { expect, test } from "bun:test";
import { Loop } from "../../../../src/loop.ts";
import {
  cpuTimeMs,
  Watchdog,
  type Watched,
} from "../../../../src/video/codec/libavcodec/watchdog.ts";

const LIMIT_MS = 60_000; // of waiting: beside other programs a process gets a part of a processor

/** Watches a shell script until a limit is passed or `enough` ms of its processor time were used. What was said. */
async function watch(
  script: string,
  more: Partial<Watched>,
  enoughMs = Number.POSITIVE_INFINITY,
): Promise<string> {
  using loop = new Loop();
  const child = Bun.spawn(["sh", "-c", `exec ${script}`], {
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    const { promise, resolve, reject } = loop.promise<string>();
    using _limit = loop.after(LIMIT_MS, () => reject(new Error("waited in vain")));
    using _enough = loop.every(50, () => {
      if (cpuTimeMs(child.pid) >= enoughMs) resolve("");
    });
    using _dog = new Watchdog(loop, {
      pid: child.pid,
      memoryLimit: 1 << 30,
      threads: 1,
      progress: () => 1,
      work: () => "ready",
      over: resolve,
      ...more,
    });
    return await loop.run(promise);
  } finally {
    child.kill("SIGKILL");
  }
}

const SPIN = "awk 'BEGIN { while (1) i++ }'";

test("2 s of processor time in one call are the limit", async () => {
  expect(await watch(SPIN, {})).toBe("did not return from a call within 2 s of processor time");
}, 70_000);

test("calls that return may use any processor time, and so may a start, and a process that has no work", async () => {
  let calls = 0;
  expect(await watch(SPIN, { progress: () => calls++ }, 3500)).toBe("");
  expect(await watch(SPIN, { work: () => "starting" }, 3000)).toBe("");
  expect(await watch(SPIN, { work: () => "none" }, 3500)).toBe("");
}, 190_000);

test("memory over the limit is noticed, also where there is no work, and not while nothing may be said", async () => {
  const tooMuch = /^uses \d+ MB, and the limit is/;
  expect(await watch("sleep 100", { memoryLimit: 1000 })).toMatch(tooMuch);
  expect(await watch("sleep 100", { memoryLimit: 1000, work: () => "none" })).toMatch(tooMuch);
  expect(await watch(SPIN, { memoryLimit: 1000, work: () => "paused" }, 1500)).toBe("");
});

/** What is said of a process that sleeps, and after how many looks of at most 100. */
function looksAt(work: ReturnType<Watched["work"]>): [number, string] {
  const child = Bun.spawn(["sleep", "100"], { stdio: ["ignore", "ignore", "ignore"] });
  let [look, said, looks] = [() => {}, "", 0];
  const every = (_ms: number, callback: () => void) => {
    look = callback;
    return { [Symbol.dispose]: () => {} };
  };
  try {
    const loop = { every } as unknown as Loop;
    const over = (reason: string) => {
      said = reason;
    };
    const { pid } = child;
    const watched = { pid, memoryLimit: 1 << 30, threads: 1, progress: () => 1, over };
    using _dog = new Watchdog(loop, { ...watched, work: () => work });
    while (looks < 100 && said === "") {
      look();
      looks += 1;
    }
    return [looks, said];
  } finally {
    child.kill("SIGKILL");
  }
}

test("a process that does nothing for 20 s is given up when it starts or has work, and not when it waits", () => {
  const given = "has done nothing for 20 s";
  const [start, ready] = [looksAt("starting"), looksAt("ready")];
  expect([start[1], ready[1]]).toEqual([given, given]);
  expect(Math.min(start[0], ready[0])).toBeGreaterThan(40); // a look every 500 ms
  expect(looksAt("blocked")).toEqual([100, ""]);
  expect(looksAt("none")).toEqual([100, ""]);
});

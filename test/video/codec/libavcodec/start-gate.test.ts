import { expect, test } from "bun:test";
import { StartGate } from "../../../../src/video/codec/libavcodec/start-gate.ts";
import type { DeviceLoop } from "../../../../src/virtio/virtio-device.ts";
import { logged } from "../../../support/logged.ts";

/** A gate on a clock that the test sets. */
class Rig {
  readonly gate: StartGate;
  /** What was started, in its order. */
  readonly started: string[] = [];
  #nowMs = 0;
  readonly #timers = new Set<{ readonly dueMs: number; readonly handler: () => void }>();
  readonly #loop = {
    after: (delayMs: number, handler: () => void) => {
      const timer = { dueMs: this.#nowMs + delayMs, handler };
      this.#timers.add(timer);
      return { [Symbol.dispose]: () => this.#timers.delete(timer) };
    },
  } as unknown as DeviceLoop;

  constructor(atOnce: number, perSecond: number) {
    this.gate = new StartGate(atOnce, perSecond, () => this.#nowMs);
  }

  ask(name: string): Disposable {
    return this.gate.ask(this.#loop, () => this.started.push(name));
  }

  fail(): Disposable {
    return this.gate.ask(this.#loop, () => {
      throw new Error("no memory");
    });
  }

  get timers(): number {
    return this.#timers.size;
  }

  pass(ms: number): void {
    for (const untilMs = this.#nowMs + ms; this.#nowMs < untilMs; this.#nowMs++)
      for (const timer of this.#timers)
        if (timer.dueMs <= this.#nowMs && this.#timers.delete(timer)) timer.handler();
  }
}

test("as many as are allowed start at once, the others later, one after the other", () => {
  const rig = new Rig(2, 10);
  const lines = logged(() => {
    for (const name of "abcde") rig.ask(name);
  });
  expect(rig.started.join("")).toBe("ab");
  expect(lines).toEqual([
    "warn the guest creates many streams: decoders are started 10 a second, the others wait",
  ]);
  for (const started of ["ab", "abc", "abcd", "abcde"]) {
    expect(rig.started.join("")).toBe(started);
    rig.pass(102);
  }
  expect(rig.timers).toBe(0);
});

test("what was withdrawn is not started, and the others do not wait for it", () => {
  const rig = new Rig(1, 10);
  const [, b, , d] = [..."abcd"].map((name) => rig.ask(name));
  b?.[Symbol.dispose]();
  rig.pass(102);
  expect(rig.started.join("")).toBe("ac");
  d?.[Symbol.dispose]();
  expect(rig.timers).toBe(0);
  rig.pass(1000);
  expect(rig.started.join("")).toBe("ac");
});

test("after a pause as many start at once again, and no more", () => {
  const rig = new Rig(3, 10);
  for (const name of "abc") rig.ask(name);
  rig.pass(10_000);
  for (const name of "defg") rig.ask(name);
  expect(rig.started.join("")).toBe("abcdef");
});

test("a start that fails at once is the caller's error", () => {
  const rig = new Rig(1, 10);
  expect(() => rig.fail()).toThrow("no memory");
  rig.ask("a");
  rig.pass(102);
  expect(rig.started.join("")).toBe("a");
});

// Runs code that waits on our loop, in tests.
import { Loop } from "../../src/loop.ts";

/** Runs `task` on a loop of its own; fails when it takes longer than `limitMs`. */
export async function onLoop<T>(
  task: (loop: Loop, signal: AbortSignal) => Promise<T>,
  limitMs = 5000,
): Promise<T> {
  using loop = new Loop();
  const limit = AbortSignal.timeout(limitMs);
  const { promise, reject } = loop.promise<never>();
  using _timer = loop.after(limitMs, () => reject(new Error(`not done in ${limitMs} ms`)));
  return await loop.run(Promise.race([task(loop, limit), promise]));
}

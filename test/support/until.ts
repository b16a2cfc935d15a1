// Waiting for something that can only be looked at.

/** Asks `look` every 20 ms until it has an answer. Throws with `what` when that takes too long. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await look();
    if (answer !== undefined) return answer;
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await Bun.sleep(20);
  }
}

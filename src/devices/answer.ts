// What a program prints, with a limit of time: one that hangs costs its own answer only. A call that waits in the kernel cannot
// be ended from outside, so a process that stays is left behind.
import type { Loop } from "../loop.ts";

/** How often the runtime runs to collect output and ends of processes. */
const COLLECT_MS = 5;

export interface AnswerOptions {
  readonly limitMs: number;
  /** What the process is called; the program's path by default. */
  readonly argv0?: string;
}

/** What it printed and its exit status. Undefined: it has not ended in time, or `signal` aborted. */
export interface Answer {
  readonly text: string;
  readonly status: number;
}

/**
 * Runs a program without input. It is killed after the limit, and when `signal` aborts. A process that it has started may keep its
 * output open: that is not waited for.
 */
export async function answerOf(
  loop: Loop,
  command: readonly string[],
  { limitMs, argv0 }: AnswerOptions,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  if (signal.aborted) return undefined;
  using _collect = loop.every(COLLECT_MS, () => undefined);
  const child = Bun.spawn([...command], {
    ...(argv0 !== undefined && { argv0 }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  child.unref();
  const { promise, resolve } = loop.promise<Answer | undefined>();
  const late = () => resolve(undefined);
  using _limit = loop.after(limitMs, late);
  signal.addEventListener("abort", late, { once: true });
  Promise.all([new Response(child.stdout).text(), child.exited]).then(
    ([text, status]) => resolve({ text, status }),
    late,
  );
  let answer: Answer | undefined;
  try {
    answer = await promise;
  } finally {
    signal.removeEventListener("abort", late);
    if (answer === undefined) child.kill("SIGKILL");
  }
  return answer;
}

// Runs the two sides of a stream as processes and collects their figures.
import type { Side } from "./meter.ts";

export interface Pair {
  readonly send: Side;
  readonly receive: Side;
}

/** Starts a receiving side, then a sending one, and collects what both report. */
export async function runPair(commands: {
  readonly send: readonly string[];
  readonly receive: readonly string[];
}): Promise<Pair> {
  const options = { stdout: "pipe", stderr: "pipe", stdin: "ignore", timeout: 120_000 } as const;
  const receiver = Bun.spawn([...commands.receive], options);
  await started(receiver);
  const sender = Bun.spawn([...commands.send], options);
  const report = async (child: typeof sender): Promise<Side> => {
    const text = await new Response(child.stdout).text();
    if ((await child.exited) === 0) return JSON.parse(text);
    throw new Error(
      `a side ended with ${child.exitCode}: ${await new Response(child.stderr).text()}`,
    );
  };
  const [send, receive] = await Promise.all([report(sender), report(receiver)]);
  return { send, receive };
}

/** Waits until a program says that it listens. */
export async function started(
  program: Bun.Subprocess<"ignore", "pipe" | "ignore", "pipe">,
): Promise<void> {
  const reader = program.stderr.getReader();
  const decoder = new TextDecoder();
  for (let text = ""; !text.includes("listening"); ) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the receiver did not start: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
}

// Steps of a longer run: each is one command with a name, a time limit and an outcome in one line.
import { projectDir } from "./ensure.ts";

/** How many checks passed and failed. */
export interface Tally {
  passed: number;
  failed: number;
}

/** Runs `command` with our stdout, then prints its outcome. True when its exit status was 0. */
export async function step(
  name: string,
  command: readonly string[],
  limitMs: number,
): Promise<boolean> {
  return (await stepWithOutput(name, command, limitMs)).ok;
}

/** Like `step`; also answers what the command printed. */
export async function stepWithOutput(
  name: string,
  command: readonly string[],
  limitMs: number,
): Promise<{ ok: boolean; output: string }> {
  const from = performance.now();
  const child = Bun.spawn([...command], {
    cwd: projectDir,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: limitMs,
    env: { ...process.env, FORCE_COLOR: "0" },
  });
  const [out, err, status] = await Promise.all([
    show(child.stdout),
    show(child.stderr),
    child.exited,
  ]);
  const seconds = ((performance.now() - from) / 1000).toFixed(1);
  const verdict = status === 0 ? "ok" : `FAILED (${child.signalCode ?? `exit ${status}`})`;
  console.log(`== ${name}: ${verdict}, ${seconds} s`);
  return { ok: status === 0, output: out + err };
}

async function show(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    process.stdout.write(part);
    text += decoder.decode(part, { stream: true });
  }
  return text;
}

/** The path of a program of an npm package. */
export const npmProgram = (name: string) => `${projectDir}/node_modules/.bin/${name}`;

/** The counts in the closing lines of `bun test`. */
export function testCounts(output: string): Tally {
  const last = (word: string) =>
    Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: last("pass"), failed: last("fail") };
}

// Steps of a longer run: each is one command with a name, a time limit and an outcome in one line.
import { projectDir } from "./ensure.ts";
import { timesText } from "./processor-time.ts";

/** How many checks passed and failed. */
export interface Tally {
  passed: number;
  failed: number;
}

/** Whether a step's exit status was 0, and what it printed. */
export interface StepResult {
  readonly ok: boolean;
  readonly output: string;
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
export function stepWithOutput(
  name: string,
  command: readonly string[],
  limitMs: number,
): Promise<StepResult> {
  return run(name, command, limitMs, (text) => process.stdout.write(text));
}

/** Like `step`, beside other steps: what the command prints is shown in one piece at its end. */
export async function stepBeside(
  name: string,
  command: readonly string[],
  limitMs: number,
): Promise<boolean> {
  let shown = "";
  const show = (text: string) => {
    shown += text;
  };
  const { ok } = await run(name, command, limitMs, show, () => process.stdout.write(shown));
  return ok;
}

async function run(
  name: string,
  command: readonly string[],
  limitMs: number,
  show: (text: string) => void,
  beforeVerdict = () => undefined as unknown,
): Promise<StepResult> {
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
    collect(child.stdout, show),
    collect(child.stderr, show),
    child.exited,
  ]);
  const seconds = (performance.now() - from) / 1000;
  const processor = Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1e6;
  const verdict = status === 0 ? "ok" : `FAILED (${child.signalCode ?? `exit ${status}`})`;
  beforeVerdict();
  console.log(`== ${name}: ${verdict}, ${timesText(seconds, processor)}`);
  return { ok: status === 0, output: out + err };
}

async function collect(
  stream: ReadableStream<Uint8Array>,
  show: (text: string) => void,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    const more = decoder.decode(part, { stream: true });
    show(more);
    text += more;
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

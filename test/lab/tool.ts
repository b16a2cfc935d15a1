// A framepass tool running in a guest with --json: its process, its output, its records, its end.

import type { Job } from "./agent.ts";
import type { Shell } from "./shell.ts";

/** A line of --json: `record` names its kind, the rest are its fields. */
export type JsonRecord = Readonly<Record<string, unknown>>;

/** Where a tool runs: a guest, or a domain of Xen. */
export type Machine = Pick<Shell, "start" | "ok">;

/** How a tool ended. */
export interface Ended {
  readonly status: number;
  /** The lines of its stderr. */
  readonly lines: readonly string[];
  /** Its first and its last record; empty when it never streamed. */
  readonly started: JsonRecord;
  readonly stopped: JsonRecord;
}

const pollMs = 20;

/** One running tool. */
export class Tool {
  readonly #guest: Machine;
  readonly #command: string;
  readonly #job: Job;

  /** Starts `framepass COMMAND --json`. */
  constructor(guest: Machine, command: string, timeoutMs = 60_000) {
    this.#guest = guest;
    this.#command = command;
    // Statistics ten times a second, because tests wait for frame counts.
    this.#job = guest.start(`exec framepass ${command} --json --stats 0.1`, { timeoutMs });
  }

  /** Its process in the guest. */
  async pid(): Promise<number> {
    return Number(await this.#guest.ok(`cat /run/jobs/${this.#job.id}`));
  }

  /** The records so far. */
  records(): readonly JsonRecord[] {
    return recordsOf(this.#job.output().stdout);
  }

  /** What it has written to stderr so far. */
  stderr(): string {
    return this.#job.output().stderr;
  }

  /** Frames sent or received so far. */
  frames(): number {
    return Number(this.records().findLast((record) => "frames" in record)?.frames ?? 0);
  }

  /** Waits until its stderr has a text. */
  async says(text: string, timeoutMs = 20_000): Promise<void> {
    await this.#until(() => this.#job.output().stderr.includes(text), `"${text}"`, timeoutMs);
  }

  /** Waits until it has moved more than `count` frames. */
  async moves(count: number, timeoutMs = 20_000): Promise<void> {
    await this.#until(() => this.frames() > count, `${count} frames`, timeoutMs);
  }

  async #until(condition: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const lateMs = performance.now() + timeoutMs;
    while (!condition()) {
      if (performance.now() > lateMs) {
        const said = this.#job.output().stderr.trim().split("\n").at(-1);
        throw new Error(`no ${what} in ${timeoutMs} ms: framepass ${this.#command} (${said})`);
      }
      await Bun.sleep(pollMs);
    }
  }

  kill(signal: Parameters<Job["kill"]>[0]): void {
    this.#job.kill(signal);
  }

  /** Waits for its end. */
  async end(): Promise<Ended> {
    const { status, stdout, stderr } = await this.#job.result;
    const records = recordsOf(stdout);
    const kind = (name: string) => records.findLast(({ record }) => record === name) ?? {};
    const lines = stderr.split("\n").filter((line) => line !== "");
    return { status, lines, started: kind("started"), stopped: kind("stopped") };
  }
}

/** Starts a receiver and waits until it listens. */
export async function startReceiver(
  guest: Machine,
  options: string,
  timeoutMs?: number,
): Promise<Tool> {
  const receiver = new Tool(guest, `receiver ${options}`, timeoutMs);
  await receiver.says("listening on");
  return receiver;
}

function recordsOf(stdout: string): readonly JsonRecord[] {
  const whole = stdout.slice(0, stdout.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JsonRecord);
}

// Scripts in a machine of the lab, whatever way they get there: run to the end, run until one holds, start and leave running.

import type { Job, Result } from "./agent.ts";

/** How long a script may take. */
export interface Patience {
  readonly timeoutMs?: number;
}

const defaultTimeoutMs = 30_000;

/** A machine that runs shell scripts. */
export class Shell {
  readonly name: string;
  readonly #start: (script: string, timeoutMs: number) => Job;

  constructor(name: string, start: (script: string, timeoutMs: number) => Job) {
    this.name = name;
    this.#start = start;
  }

  /** Runs a shell script to its end; its status is a result, not an error. */
  run(script: string, options: Patience = {}): Promise<Result> {
    return this.start(script, options).result;
  }

  /** Runs a shell script that must succeed and answers what it printed. */
  async ok(script: string, options: Patience = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, options);
    if (status === 0) return stdout;
    const said = (stderr.trim() || stdout.trim()).split("\n").at(-1);
    throw new Error(`${this.name}: status ${status} of ${script.trim().split("\n")[0]}: ${said}`);
  }

  /** Starts a shell script and does not wait for its end; any number may run at a time. */
  start(script: string, options: Patience = {}): Job {
    return this.#start(script, options.timeoutMs ?? defaultTimeoutMs);
  }

  /** Waits until a shell condition holds; the machine tests it every 50 ms. */
  async until(condition: string, timeoutMs = 10_000): Promise<void> {
    await this.ok(`until { ${condition}\n} >/dev/null 2>&1; do sleep 0.05; done`, { timeoutMs });
  }
}

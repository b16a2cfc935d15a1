// A tool as its users start it, in a process of its own that ends with its scope.
import { join } from "node:path";

const executable = join(import.meta.dir, "../../cmd/framepass.ts");

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class RunningTool implements AsyncDisposable {
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #words: string;
  #stdout = "";
  #stderr = "";
  readonly #read: Promise<unknown>;

  constructor(words: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) {
    this.#words = words.join(" ");
    this.#process = Bun.spawn([process.execPath, executable, ...words], {
      env: { ...process.env, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const read = async (stream: ReadableStream<Uint8Array>, take: (text: string) => void) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
    };
    this.#read = Promise.all([
      read(this.#process.stdout, (text) => {
        this.#stdout += text;
      }),
      read(this.#process.stderr, (text) => {
        this.#stderr += text;
      }),
    ]);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until it has said something on stderr; the match. */
  async said(pattern: RegExp, timeoutMs = 5000): Promise<RegExpExecArray> {
    return await until(`${this.#words}: ${pattern} in "${this.#stderr}"`, timeoutMs, () => {
      const match = pattern.exec(this.#stderr);
      if (match === null && this.#process.exitCode !== null)
        throw new Error(`${this.#words} ended: ${this.#stderr}`);
      return match ?? undefined;
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Its end. Throws when that takes too long. */
  async ended(timeoutMs = 5000): Promise<Ended> {
    const limit = setTimeout(() => this.#process.kill("SIGKILL"), timeoutMs);
    const status = await this.#process.exited;
    clearTimeout(limit);
    await this.#read;
    if (this.#process.signalCode === "SIGKILL")
      throw new Error(`${this.#words} did not end in ${timeoutMs} ms: ${this.#stderr}`);
    return { status, stdout: this.#stdout, stderr: this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode === null) this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

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

// A QEMU that has started and waits before its guest's first instruction: it has accepted all of its command.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Monitor } from "./monitor.ts";

const startMs = 20_000;

export class StartedQemu implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  readonly #monitor: Monitor;

  private constructor(child: Bun.Subprocess, monitor: Monitor) {
    this.#child = child;
    this.#monitor = monitor;
  }

  /** Starts a QEMU with `words` and waits until its monitor answers. Throws what QEMU says when it ends. */
  static async start(
    directory: string,
    program: string,
    words: readonly string[],
  ): Promise<StartedQemu> {
    const log = join(directory, "qemu.log");
    const socket = join(directory, "qmp");
    const monitor = new Monitor(socket);
    const child = Bun.spawn(
      [
        ...["setpriv", "--pdeathsig", "KILL", "--", program, ...words],
        ...["-S", "-nodefaults", "-display", "none", "-qmp", `unix:${socket}`],
      ],
      { stdin: "ignore", stdout: Bun.file(log), stderr: Bun.file(log) },
    );
    const started = new StartedQemu(child, monitor);
    try {
      const ended = child.exited.then(() => {
        throw new Error(`QEMU ended: ${readFileSync(log, "utf8").trim().split("\n").at(-1)}`);
      });
      const status = await Promise.race([monitor.execute("query-status", {}, startMs), ended]);
      const { status: now } = status as { status: string };
      if (now !== "prelaunch") throw new Error(`QEMU is ${now}, must be prelaunch`);
      return started;
    } catch (error) {
      await started[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a QMP command. */
  async ask<Answer>(command: string, options: object = {}): Promise<Answer> {
    return (await this.#monitor.execute(command, options)) as Answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    this.#monitor[Symbol.dispose]();
  }
}

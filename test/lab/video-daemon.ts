// vhost-user-video or vhost-user-media on the host, for QEMU in the lab: its output, its descriptors, its end.

import { existsSync, readdirSync } from "node:fs";
import { childrenOf, isRunning } from "../support/processes.ts";

const STAYS_MS = 500;

/** How the daemon ended. */
export interface DaemonEnd {
  readonly status: number;
  /** From the signal to the end. */
  readonly ms: number;
  /** Its stderr. */
  readonly said: string;
  /** Its last record. */
  readonly stopped: Readonly<Record<string, unknown>>;
}

/** A running daemon; disposing it kills it. */
export class VideoDaemon {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;

  private constructor(child: Bun.Subprocess<"ignore", "pipe", "pipe">) {
    this.#child = child;
  }

  /** Starts the program at `path` with a codec, or with other options, and waits until it listens. */
  static async start(
    path: string,
    socket: string,
    options: string | readonly string[] = "null",
  ): Promise<VideoDaemon> {
    const command = ["setpriv", "--pdeathsig", "KILL", "--", path];
    const words = typeof options === "string" ? ["-b", options] : options;
    const child = Bun.spawn([...command, ...words, "-s", socket, "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const daemon = new VideoDaemon(child);
    await daemon.until(() => existsSync(socket));
    await daemon.#settled();
    return daemon;
  }

  /** The socket is there before the last descriptors are open: waits until their number stays. */
  async #settled(): Promise<void> {
    let last = 0;
    let sinceMs = 0;
    await this.until(() => {
      const now = this.descriptors();
      if (now !== last) sinceMs = performance.now();
      last = now;
      return performance.now() - sinceMs > STAYS_MS;
    });
  }

  /** Descriptors open now in it and in the process of its front-end. */
  descriptors(): number {
    const { pid } = this.#child;
    return [pid, ...childrenOf(pid)].reduce((sum, each) => sum + openIn(each), 0);
  }

  /** The process of the front-end. Throws when there is none. */
  frontEnd(): number {
    const [pid] = childrenOf(this.#child.pid);
    if (pid === undefined) throw new Error("the daemon serves no front-end");
    return pid;
  }

  /** Processes of decoders. */
  decoders(): number {
    return childrenOf(this.#child.pid).flatMap(decodersOf).length;
  }

  /** Waits until a condition holds. */
  async until(holds: () => boolean, timeoutMs = 5000): Promise<void> {
    const lateMs = performance.now() + timeoutMs;
    while (!holds()) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`the daemon has ended: ${await new Response(this.#child.stderr).text()}`);
      }
      if (performance.now() > lateMs) {
        throw new Error(`waited ${timeoutMs} ms, the daemon has ${this.descriptors()} descriptors`);
      }
      await Bun.sleep(20);
    }
  }

  /** Ends it with SIGTERM. */
  async end(): Promise<DaemonEnd> {
    const from = performance.now();
    this.#child.kill("SIGTERM");
    const status = await this.#child.exited;
    const ms = Math.round(performance.now() - from);
    const said = await new Response(this.#child.stderr).text();
    const records = (await new Response(this.#child.stdout).text()).trim().split("\n");
    return { status, ms, said, stopped: JSON.parse(records.at(-1) ?? "{}") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

/** Children of a process; none once it has ended. */
function decodersOf(pid: number): readonly number[] {
  try {
    return childrenOf(pid).filter(isRunning);
  } catch {
    return [];
  }
}

/** Descriptors of a process; none once it has ended. */
function openIn(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

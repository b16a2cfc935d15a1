// The host's side of the agent in init.sh: a script is a file on a shared directory, "run ID" on the
// virtio-serial port starts it, "done ID STATUS" comes back, its output is in files there.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LineSocket } from "./line-socket.ts";

/** How a script in the guest ended. */
export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A script that is running in the guest. */
export interface Job {
  /** Its name in the guest: /run/jobs/ID holds its process id. */
  readonly id: string;
  /** Settles when the script ends; rejects when it takes too long or the guest dies. */
  readonly result: Promise<Result>;
  /** What it has printed so far. */
  output(): { readonly stdout: string; readonly stderr: string };
  /** Sends a signal to the script and everything it started. */
  kill(signal: "TERM" | "INT" | "KILL" | "STOP" | "CONT"): void;
}

/** How many scripts a failed check reports, and how much each of them said. */
const REPORTED = 6;
const REPORTED_LINES = 2;

/** Runs scripts in one guest, any number at a time. */
export class Agent {
  readonly #socket: LineSocket;
  readonly #dir: string;
  readonly #pending = new Map<string, PromiseWithResolvers<number>>();
  #ready = Promise.withResolvers<void>();
  #lastId = 0;
  #failure: Error | undefined;

  constructor(path: string, dir: string) {
    this.#dir = dir;
    this.#socket = new LineSocket(path, (line) => this.#take(line));
    this.#ready.promise.catch(() => undefined); // ready() reports it
  }

  /** Settles when the guest's user land is up. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Called when the guest is reset: running scripts are lost, and `ready` waits for the next start. */
  restart(): void {
    for (const pending of this.#pending.values()) pending.reject(new Error("the guest was reset"));
    this.#pending.clear();
    this.#ready = Promise.withResolvers<void>();
    this.#ready.promise.catch(() => undefined);
  }

  /** Starts a script; after `timeoutMs` it is killed and its result is an error. */
  start(script: string, timeoutMs: number): Job {
    const id = String(++this.#lastId);
    const pending = Promise.withResolvers<number>();
    const output = () => ({ stdout: this.#read(`${id}.out`), stderr: this.#read(`${id}.err`) });
    writeFileSync(join(this.#dir, `${id}.sh`), `echo $$ >/run/jobs/${id}\n${script}\n`);
    if (this.#failure !== undefined) pending.reject(this.#failure);
    else this.#pending.set(id, pending);
    this.#socket.send(`run ${id}`);
    const timer = setTimeout(() => {
      this.#socket.send(`kill ${id} KILL`);
      const said = output().stderr.trim().split("\n").at(-1);
      const first = script.trim().split("\n")[0];
      this.#pending.delete(id);
      pending.reject(new Error(`no end in ${timeoutMs} ms: ${first}${said ? ` (${said})` : ""}`));
    }, timeoutMs);
    const result = pending.promise
      .finally(() => clearTimeout(timer))
      .then((status) => ({ status, ...output() }));
    result.catch(() => undefined); // a job without a waiter must not end the process
    return { id, result, output, kill: (signal) => this.#socket.send(`kill ${id} ${signal}`) };
  }

  /** The last lines on stderr of the newest scripts, for the report of a failed check. */
  complaints(): string[] {
    const newest = Array.from({ length: REPORTED }, (_, index) => this.#lastId - index);
    return newest.reverse().flatMap((id) => {
      const lines = this.#read(`${id}.err`).trim().split("\n").slice(-REPORTED_LINES);
      return lines[0] === "" ? [] : lines.map((line) => `script ${id}: ${line}`);
    });
  }

  /** Ends every waiting script with an error: the guest is gone. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#ready.reject(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }

  #take(line: string): void {
    const [verb, id = "", status] = line.split(" ");
    if (verb === "ready") this.#ready.resolve();
    if (verb !== "done") return;
    this.#pending.get(id)?.resolve(Number(status));
    this.#pending.delete(id);
  }

  #read(name: string): string {
    try {
      return readFileSync(join(this.#dir, name), "utf8");
    } catch {
      return ""; // not started yet
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

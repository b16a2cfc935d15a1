// QEMU's monitor (QMP): one JSON object per line each way, an answer has the id of its command, an event has none.

import { LineSocket } from "./line-socket.ts";

interface Answer {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** A connection to the monitor of one QEMU. */
export class Monitor {
  readonly #socket: LineSocket;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  constructor(path: string) {
    this.#socket = new LineSocket(path, (line) => this.#take(line));
    this.execute("qmp_capabilities").catch(() => undefined); // the guest reports a QEMU that did not start
  }

  /** Runs a QMP command. */
  execute(command: string, options: object = {}, timeoutMs = 10_000): Promise<unknown> {
    const id = ++this.#lastId;
    const pending = Promise.withResolvers<unknown>();
    this.#pending.set(id, pending);
    this.#socket.send(JSON.stringify({ execute: command, arguments: options, id }));
    const late = () =>
      this.#settle({ id, error: { desc: `no answer in ${timeoutMs} ms` } }, command);
    const timer = setTimeout(late, timeoutMs);
    return pending.promise.finally(() => clearTimeout(timer));
  }

  /** Runs a command of the human monitor and answers what it printed. */
  async human(line: string): Promise<string> {
    const printed = await this.execute("human-monitor-command", { "command-line": line });
    return String(printed).trim();
  }

  #take(line: string): void {
    const answer = JSON.parse(line) as Answer;
    if (answer.id !== undefined) this.#settle(answer, "monitor");
  }

  #settle(answer: Answer, what: string): void {
    const pending = this.#pending.get(answer.id ?? 0);
    this.#pending.delete(answer.id ?? 0);
    if (answer.error !== undefined) pending?.reject(new Error(`${what}: ${answer.error.desc}`));
    else pending?.resolve(answer.return);
  }

  [Symbol.dispose](): void {
    for (const [id] of this.#pending)
      this.#settle({ id, error: { desc: "QEMU ended" } }, "monitor");
    this.#socket[Symbol.dispose]();
  }
}

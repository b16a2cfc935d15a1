// A screen in memory: Xvfb on a display number of its own, which ends with its scope.
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { X11 } from "./x11.ts";

export class Xvfb implements AsyncDisposable {
  /** ":99" */
  readonly display: string;
  readonly x: X11;
  readonly #process: Bun.Subprocess;

  private constructor(process: Bun.Subprocess, number: number, x: X11) {
    this.#process = process;
    this.display = `:${number}`;
    this.x = x;
  }

  /** Starts a screen of 24 bits depth. */
  static async start(width = 2000, height = 1200): Promise<Xvfb> {
    ensureDebian(displayNeeds);
    const screen = ["-screen", "0", `${width}x${height}x24`, "-ac", "-nolisten", "tcp"];
    const server = Bun.spawn(["Xvfb", "-displayfd", "1", ...screen], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    const limit = setTimeout(() => server.kill("SIGKILL"), 8000);
    let said = "";
    for await (const chunk of server.stdout) {
      said += new TextDecoder().decode(chunk);
      if (said.includes("\n")) break;
    }
    clearTimeout(limit);
    if (!/^\d+\n/.test(said)) throw new Error(`Xvfb did not start: "${said}"`);
    const number = Number(said);
    return new Xvfb(server, number, await X11.connect(number));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.x[Symbol.dispose]();
    this.#process.kill();
    await this.#process.exited;
  }
}

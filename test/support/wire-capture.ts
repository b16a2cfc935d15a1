// What crosses the link between two hosts, as tcpdump writes it to a file.
import { readFileSync, statSync } from "node:fs";
import { Tool } from "./tool.ts";

/** More than a test sends: nothing is lost when tcpdump is slow. */
const bufferKib = 128 * 1024;
const WAIT_MS = 20_000;
const QUIET_MS = 200;

export class WireCapture implements AsyncDisposable {
  readonly #tcpdump: Tool;
  readonly #file: string;

  private constructor(tcpdump: Tool, file: string) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  /** Captures all packets of the interface `link` into `file`; `under` are the words that run a program on its host. */
  static async start(under: readonly string[], link: string, file: string): Promise<WireCapture> {
    const words = ["-i", link, "-w", file, "-U", "-Z", "root", "-B", `${bufferKib}`];
    const tcpdump = await Tool.start("", words, { under, path: "tcpdump" });
    await tcpdump.says("listening on");
    return new WireCapture(tcpdump, file);
  }

  /**
   * Ends it when it has `least` bytes and no more come, and answers the packets' bytes. Throws when packets were lost. What tcpdump
   * has not read when it is ended is lost, so it is not ended earlier.
   */
  async end(least: number): Promise<Buffer> {
    const lateMs = performance.now() + WAIT_MS;
    for (let size = -1; ; ) {
      const now = statSync(this.#file).size;
      if (now >= least && now === size) break;
      if (performance.now() > lateMs) throw new Error(`only ${now} bytes crossed the link`);
      size = now;
      await Bun.sleep(QUIET_MS);
    }
    this.#tcpdump.signal("SIGINT");
    const { stderr } = await this.#tcpdump.ended();
    if (!/^0 packets dropped by kernel$/m.test(stderr)) throw new Error(`tcpdump: ${stderr}`);
    return readFileSync(this.#file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tcpdump[Symbol.asyncDispose]();
  }
}

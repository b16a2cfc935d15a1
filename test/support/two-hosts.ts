// Two network namespaces joined by a link, as two machines and a cable: made with `ip` of iproute2, which needs root.
import { spawnSync } from "bun";

function ip(...words: string[]): boolean {
  return spawnSync(["ip", ...words], { stdout: "ignore", stderr: "ignore" }).exitCode === 0;
}

let made = 0;

export class TwoHosts implements Disposable {
  /** Addresses of the two hosts. */
  static readonly near = "10.91.0.1";
  static readonly far = "10.91.0.2";
  readonly #names: readonly [string, string];

  private constructor(names: readonly [string, string]) {
    this.#names = names;
  }

  /** Whether this process may make namespaces. */
  static permitted(): boolean {
    const name = `fp-${process.pid}-try`;
    if (!ip("netns", "add", name)) return false;
    ip("netns", "del", name);
    return true;
  }

  static make(): TwoHosts {
    made += 1;
    const near = `fp-${process.pid}-${made}a`;
    const far = `fp-${process.pid}-${made}b`;
    const steps = [
      `netns add ${near}`,
      `netns add ${far}`,
      `-n ${near} link add cable type veth peer name cable netns ${far}`,
      `-n ${near} addr add ${TwoHosts.near}/24 dev cable`,
      `-n ${far} addr add ${TwoHosts.far}/24 dev cable`,
      ...[near, far].flatMap((name) =>
        ["lo", "cable"].map((link) => `-n ${name} link set ${link} up`),
      ),
    ];
    const hosts = new TwoHosts([near, far]);
    for (const step of steps) {
      if (ip(...step.split(" "))) continue;
      hosts[Symbol.dispose]();
      throw new Error(`ip ${step} failed`);
    }
    return hosts;
  }

  /** Words before a command that runs it on one of the hosts. */
  on(host: "near" | "far"): readonly string[] {
    return ["ip", "netns", "exec", host === "near" ? this.#names[0] : this.#names[1]];
  }

  /** Runs `ip` with these words on one of the hosts. */
  configure(host: "near" | "far", words: string): void {
    const name = host === "near" ? this.#names[0] : this.#names[1];
    if (!ip("-n", name, ...words.split(" "))) throw new Error(`ip ${words} failed`);
  }

  /** The processes of both hosts. */
  processes(): number[] {
    return this.#names.flatMap((name) => {
      const { stdout } = spawnSync(["ip", "netns", "pids", name]);
      return stdout.toString().split("\n").filter(Boolean).map(Number);
    });
  }

  /** Takes the link down: nothing arrives any more, and neither host gets an error. */
  cut(): void {
    if (!ip("-n", this.#names[0], "link", "set", "cable", "down")) throw new Error("link down");
  }

  [Symbol.dispose](): void {
    for (const name of this.#names) ip("netns", "del", name);
  }
}

// The two hosts of docs/encryption.md: network namespaces, each with a directory, a /run and programs of its own. The lines of the
// page run in them as they are; what they leave running is ended with the hosts.
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { hostCommand } from "../lab/debian.ts";
import type { Side, Step, Tunnel } from "./encryption-page.ts";
import { isRunning } from "./processes.ts";
import { startSshServer } from "./ssh-server.ts";
import { dist, TempDir, Tool, within } from "./tool.ts";
import { TwoHosts } from "./two-hosts.ts";

/** Installs what the page uses; no package among them starts a server. */
export function ensureTunnels(): void {
  ensureDebian(
    Object.entries({
      iproute2: "ip",
      "wireguard-tools": "wg",
      "wireguard-go": "wireguard-go",
      stunnel4: "stunnel",
      openssl: "openssl",
      "openssh-client": "ssh",
      tcpdump: "tcpdump",
    }).map(([name, provides]) => ({ package: name, provides })),
  );
}

const hostOf = { sender: "near", receiver: "far" } as const;
/** What the page tells the reader to copy to the other host. */
const copied = ["frames.pub", "camera.pub", "frames.psk"];
const endMs = 5000;

export class TunnelHosts implements AsyncDisposable {
  readonly #owned = new DisposableStack();
  readonly #hosts = this.#owned.use(TwoHosts.make());
  readonly #temp = this.#owned.use(new TempDir());
  /** Processes that keep a host's own /run. */
  readonly #keepers = new Map<Side, Bun.Subprocess>();

  private constructor() {}

  static async make(): Promise<TunnelHosts> {
    const made = new TunnelHosts();
    try {
      for (const side of ["sender", "receiver"] as const) await made.#prepare(side);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The directory in which the lines of a host run. */
  directory(side: Side): string {
    return join(this.#temp.path, side);
  }

  async #prepare(side: Side): Promise<void> {
    mkdirSync(this.directory(side));
    const keep = "mount -t tmpfs tmpfs /run && echo && exec sleep infinity";
    const keeper = Bun.spawn([...this.#hosts.on(hostOf[side]), "sh", "-c", keep], {
      stdout: "pipe",
      stderr: "ignore",
    });
    this.#keepers.set(side, keeper);
    await within(keeper.stdout.getReader().read(), `a /run for the ${side}'s host`);
  }

  /** Words before those of a program that run it on a host. */
  on(side: Side): string[] {
    return ["nsenter", "-t", `${this.#keepers.get(side)?.pid}`, "-n", "-m", "--"];
  }

  #script(side: Side, lines: string): string {
    const directory = this.directory(side);
    return `PATH=${directory}/bin:${dist}:/usr/sbin:/sbin:$PATH; cd ${directory}\n${lines}`;
  }

  /** Runs lines to their end. Throws when the last one fails. */
  async run(side: Side, lines: string): Promise<void> {
    await hostCommand([...this.on(side), "sh", "-c", this.#script(side, lines)]);
  }

  /** Starts the line of a tool. */
  async start(side: Side, line: string): Promise<Tool> {
    const under = [...this.on(side), "sh", "-c"];
    return await Tool.start("", [], { under, path: this.#script(side, `exec ${line}`) });
  }

  /** Makes a tunnel by all lines of the page that start no tool. */
  async make(tunnel: Tunnel): Promise<void> {
    if (tunnel.keyWords !== undefined) await this.#startSsh(tunnel.keyWords);
    for (const step of tunnel.steps) await this.#step(step);
  }

  async #step({ side, setUp }: Step): Promise<void> {
    if (setUp.trim() === "") return;
    await this.run(side, setUp);
    const other = this.directory(side === "sender" ? "receiver" : "sender");
    for (const name of copied) {
      const file = join(this.directory(side), name);
      if (existsSync(file)) copyFileSync(file, join(other, name));
    }
  }

  /** Starts an SSH server on the receiver's host. `ssh` on the sender's host gets the key and the server's public key. */
  async #startSsh(keyWords: string): Promise<void> {
    const { command, configuration } = await startSshServer({
      directory: this.directory("receiver"),
      address: TwoHosts.far,
      keyWords,
    });
    await this.run("receiver", command);
    const bin = join(this.directory("sender"), "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F ${configuration} "$@"\n`, {
      mode: 0o755,
    });
  }

  /** Sends packets for an address of the tunnel to the receiver's host outside of it, as another machine can; until disposed. */
  outside(address: string): Disposable {
    const route = `${address}/32 dev cable src ${TwoHosts.near}`;
    this.#hosts.configure("near", `route add ${route}`);
    return { [Symbol.dispose]: () => this.#hosts.configure("near", `route del ${route}`) };
  }

  /** Ends everything that runs on the hosts, and removes them. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lateMs = performance.now() + endMs;
    for (const pid of this.#hosts.processes()) end(pid, "SIGTERM");
    while (this.#hosts.processes().some(isRunning)) {
      if (performance.now() > lateMs) {
        for (const pid of this.#hosts.processes()) end(pid, "SIGKILL");
      }
      await Bun.sleep(20);
    }
    this.#owned.dispose();
  }
}

function end(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

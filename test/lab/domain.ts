// A domain of Xen: `xl create` in dom0, and scripts by way of dom0. Domains have no share with the host: a job in dom0 sends
// the script over the bridge to the agent in the domain (xen/domain-agent.c), and prints what comes back.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Job } from "./agent.ts";
import type { Guest } from "./guest.ts";
import { Shell } from "./shell.ts";

const port = 514;
const commandLine =
  "console=hvc0 quiet loglevel=5 panic=-1 mitigations=off random.trust_cpu=on init_on_alloc=0 rdinit=/domain-init";
// Limits for an emulated machine whose host is busy.
const createMs = 180_000;
const bootMs = 180_000;
const destroyMs = 60_000;

/** A paravirtual domain: address 10.99.0.N, name guestN. */
export class Domain {
  readonly name: string;
  /** Runs scripts in it. */
  readonly shell: Shell;
  readonly #dom0: Guest;
  readonly #number: number;
  readonly #memoryMib: number;
  #lastId = 0;

  constructor(dom0: Guest, number: number, memoryMib: number) {
    this.name = `guest${number}`;
    this.#dom0 = dom0;
    this.#number = number;
    this.#memoryMib = memoryMib;
    this.shell = new Shell(this.name, (script, timeoutMs) => this.#start(script, timeoutMs));
  }

  /** Creates it; it boots meanwhile. */
  async create(): Promise<void> {
    const words = `${commandLine} lab.name=${this.name} lab.number=${this.#number}`;
    const config = [
      `name = "${this.name}"`,
      'type = "pv"',
      'kernel = "/domains/vmlinux"',
      'ramdisk = "/domains/ramdisk"',
      `extra = "${words}"`,
      `memory = ${this.#memoryMib}`,
      "vcpus = 1",
      `vif = [ "bridge=xenbr0,mac=00:16:3e:00:00:0${this.#number}" ]`,
      ...["on_poweroff", "on_reboot", "on_crash"].map((event) => `${event} = "destroy"`),
    ];
    const file = `/run/${this.name}.cfg`;
    const script = `cat >${file} <<'END'\n${config.join("\n")}\nEND\nxl create -q ${file}`;
    await this.#dom0.ok(script, { timeoutMs: createMs });
  }

  /** Settles when scripts can be run. */
  async booted(): Promise<void> {
    const probe = `echo true | timeout 5 domain-agent run ${this.#address()} ${port}`;
    await this.#dom0.until(probe, bootMs);
  }

  /** Its number in this run of Xen; a domain that is created again gets another one. */
  async domid(): Promise<number> {
    return Number(await this.#dom0.ok(`xl domid ${this.name}`));
  }

  /** Ends it at once, with everything in it. */
  async destroy(): Promise<void> {
    await this.#dom0.ok(`xl destroy ${this.name}`, { timeoutMs: destroyMs });
  }

  /** What its kernel has printed: xenconsoled writes it to dom0's /run/lab. */
  console(): string {
    const path = join(this.#dom0.logs, `guest-${this.name}.log`);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  #address(): string {
    return `10.99.0.${this.#number}`;
  }

  #start(script: string, timeoutMs: number): Job {
    const id = `${++this.#lastId}`;
    const recorded = `echo $$ >/run/jobs/${id}\n${script}`;
    const job = this.#dom0.start(this.#overBridge(recorded, script), { timeoutMs });
    const kill: Job["kill"] = (signal) => {
      // The domain may not have started the script yet.
      const pid = `until [ -s /run/jobs/${id} ]; do sleep 0.05; done; cat /run/jobs/${id}`;
      this.#dom0.start(this.#overBridge(`kill -${signal} -$(${pid})`), { timeoutMs: destroyMs });
    };
    return { ...job, id, kill };
  }

  /** A script of dom0 that runs `script` here; errors name its first line. */
  #overBridge(script: string, title = script): string {
    const end = "END OF THE SCRIPT";
    const send = `exec domain-agent run ${this.#address()} ${port} <<'${end}'\n${script}\n${end}`;
    return `# ${this.name}: ${title.trim().split("\n")[0]}\n${send}`;
  }
}

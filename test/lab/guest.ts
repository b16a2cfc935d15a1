// A guest: a real kernel under QEMU without KVM, with an agent that runs scripts in it. Its owner disposes it:
// `await using guest = await bootGuest(...)` ends QEMU and removes its files when the block is left.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian, projectDir } from "../../scripts/ensure.ts";
import { Agent, type Job, type Result } from "./agent.ts";
import { buildInitramfs, loadLines, moduleOf } from "./initramfs.ts";
import { fetchKernel } from "./kernel.ts";
import { Monitor } from "./monitor.ts";
import { Scratch } from "./scratch.ts";
import { type Patience, Shell } from "./shell.ts";

/** How to boot a guest; everything has a default. */
export interface GuestOptions {
  /** Its name in messages, and its host name. */
  readonly name?: string;
  /** Modules to load, in order: a name or the path of a .ko, then parameters ("vivid n_devs=2"). */
  readonly modules?: readonly string[];
  /** Modules to have in /modules, with those they need; a script loads them by insmod. */
  readonly spareModules?: readonly string[];
  /** Debian packages to have in the guest, with all they depend on. */
  readonly packages?: readonly string[];
  /** Debian packages to have in the guest, without what they depend on. */
  readonly plainPackages?: readonly string[];
  /** Files to have in the guest: guest path -> host path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Words added to the kernel command line. */
  readonly commandLine?: string;
  /** Arguments added to QEMU's. */
  readonly qemuArgs?: readonly string[];
  readonly memoryMib?: number;
  /** The processor, as `-cpu` names it: what QEMU can emulate fast, when not given. */
  readonly cpu?: string;
  /** How many processors: one, when not given. */
  readonly processors?: number;
  /** Boots this hypervisor, which starts the guest's kernel as its first domain. */
  readonly hypervisor?: Hypervisor;
  /** The QEMU program, for another version than the host's. */
  readonly qemu?: string;
  /** QEMU is killed after this time. */
  readonly lifeMs?: number;
  /** Copies the executable into the guest's own memory instead of running it from the share. */
  readonly copyExecutable?: boolean;
  /** Its number on the private network: address 10.99.0.N, fd99::N, name guestN. */
  readonly number?: number;
}

/** A hypervisor that is booted by multiboot. */
export interface Hypervisor {
  /** Its ELF file. */
  readonly image: string;
  readonly commandLine: string;
}

/** Emulated even where the host has KVM, so that the result does not depend on the host. */
const machine = "-accel tcg,thread=multi -no-reboot -nodefaults -display none";
/**
 * All that QEMU can emulate but what makes emulation slow: with "rep movsb" (erms, fsrm) libraries and the kernel copy one byte at a
 * time, and the rest costs at each system call or each miss of the TLB. A guest needs two thirds of the processor time without them.
 * A paravirtual dom0 of Xen ends at an early iret where the processor has SMAP.
 */
const cpu = "max,-erms,-fsrm,-la57,-smap,-smep,-pku,-umip";
/**
 * no_timer_check: on a busy host the emulated timer may be late, and the kernel would end with "IO-APIC + timer doesn't work".
 * init_on_alloc=0: Debian's kernel fills each page with zeros, also before a file's content is copied into it.
 */
const commandLine =
  "quiet loglevel=5 panic=-1 mitigations=off random.trust_cpu=on no_timer_check init_on_alloc=0";
const bootTimeoutMs = 120_000;

/** A running guest. */
export class Guest {
  readonly name: string;
  /** The host's directory that is /share in the guest, where its scripts start. */
  readonly share: string;
  /** The host's directory that is /run/lab in the guest; it shows what is written there at once. */
  readonly logs: string;
  /** From the start of QEMU until scripts can be run. */
  bootMs = 0;
  readonly #scratch: Scratch;
  readonly #agent: Agent;
  readonly #shell: Shell;
  readonly #monitor: Monitor;
  readonly #qemu: Bun.Subprocess;
  readonly #life: Timer;
  #endReason: string | undefined;

  constructor(options: GuestOptions, scratch: Scratch, command: readonly string[]) {
    const dir = scratch.path;
    this.name = options.name ?? "guest";
    this.#scratch = scratch;
    this.share = join(dir, "share");
    this.logs = join(dir, "lab");
    this.#agent = new Agent(join(dir, "agent"), this.logs);
    this.#shell = new Shell(this.name, (script, ms) => this.#agent.start(script, ms));
    this.#monitor = new Monitor(join(dir, "monitor"));
    this.#qemu = Bun.spawn([...command], {
      stdin: "ignore",
      stdout: Bun.file(join(dir, "qemu.log")),
      stderr: Bun.file(join(dir, "qemu.log")),
    });
    const lifeMs = options.lifeMs ?? 600_000;
    this.#life = setTimeout(() => {
      this.#endReason = `its life of ${lifeMs} ms is over`;
      this.#qemu.kill("SIGKILL");
    }, lifeMs);
    this.#qemu.exited.then(() => this.#agent.fail(new Error(`${this.name}: ${this.#lastWords()}`)));
  }

  /** Settles when scripts can be run. */
  async booted(): Promise<void> {
    const from = performance.now();
    const late = () => this.#agent.fail(new Error(`${this.name}: not up in ${bootTimeoutMs} ms`));
    const timer = setTimeout(late, bootTimeoutMs);
    await this.#agent.ready().finally(() => clearTimeout(timer));
    this.bootMs = Math.round(performance.now() - from);
  }

  /** Resets the machine at any moment; settles when its next user land is up. */
  async reset(): Promise<void> {
    await this.qmp("set-action", { reboot: "reset" });
    this.#agent.restart();
    await this.qmp("system_reset");
    await this.booted();
  }

  /** Runs a shell script to its end; its status is a result, not an error. */
  run(script: string, options: Patience = {}): Promise<Result> {
    return this.#shell.run(script, options);
  }

  /** Runs a shell script that must succeed and answers what it printed. */
  ok(script: string, options: Patience = {}): Promise<string> {
    return this.#shell.ok(script, options);
  }

  /** Starts a shell script and does not wait for its end; any number may run at a time. */
  start(script: string, options: Patience = {}): Job {
    return this.#shell.start(script, options);
  }

  /** Waits until a shell condition holds; the guest tests it every 50 ms. */
  until(condition: string, timeoutMs?: number): Promise<void> {
    return this.#shell.until(condition, timeoutMs);
  }

  /** Runs a command of QEMU's human monitor, "screendump PATH" for example. */
  monitor(line: string): Promise<string> {
    return this.#monitor.human(line);
  }

  /** Runs a command of QEMU's machine protocol. */
  qmp(command: string, options: object = {}): Promise<unknown> {
    return this.#monitor.execute(command, options);
  }

  /** What the newest scripts said last on stderr. */
  complaints(): string[] {
    return this.#agent.complaints();
  }

  /** What the kernel has printed on the serial console. */
  console(): string {
    const path = join(this.#scratch.path, "console.log");
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  }

  /** Why QEMU has ended: our reason, its error message, or the kernel's panic. */
  #lastWords(): string {
    const complaint = readFileSync(join(this.#scratch.path, "qemu.log"), "utf8").trim();
    const panic = /Kernel panic.*/.exec(this.console())?.[0];
    const reason = this.#endReason ?? (complaint.split("\n").at(-1) || panic);
    return `QEMU ended${reason ? `: ${reason}` : ""}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#life);
    this.#qemu.kill("SIGKILL");
    await this.#qemu.exited;
    this.#agent[Symbol.dispose]();
    this.#monitor[Symbol.dispose]();
    this.#scratch[Symbol.dispose]();
  }
}

/** Boots a guest and waits for its user land. */
export async function bootGuest(options: GuestOptions = {}): Promise<Guest> {
  ensureLabTools();
  const modules = options.modules ?? [];
  const initramfs = await buildInitramfs({
    kernel: await fetchKernel(),
    modules: [...modules.map(moduleOf), ...(options.spareModules ?? [])],
    packages: options.packages ?? [],
    plainPackages: options.plainPackages ?? [],
    files: options.files ?? {},
  });
  const scratch = new Scratch();
  const dir = scratch.path;
  for (const shared of ["lab", "share"]) mkdirSync(join(dir, shared));
  writeFileSync(join(dir, "lab/modules"), loadLines(initramfs, modules));
  const guest = new Guest(options, scratch, await qemuCommand(options, dir, initramfs.path));
  try {
    await guest.booted();
    return guest;
  } catch (error) {
    process.stderr.write(guest.console());
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

/** Installs what the lab needs on the host. */
export function ensureLabTools(): void {
  ensureDebian([
    { package: "qemu-system-x86", provides: "qemu-system-x86_64" },
    { package: "seabios", provides: "/usr/share/seabios/bios-256k.bin" },
    { package: "cpio", provides: "cpio" },
    { package: "kmod", provides: "depmod" },
    { package: "xz-utils", provides: "xz" },
    { package: "util-linux", provides: "setpriv" },
  ]);
}

async function qemuCommand(
  options: GuestOptions,
  dir: string,
  initramfs: string,
): Promise<readonly string[]> {
  const words = [
    // Under a hypervisor the serial port is the hypervisor's.
    options.hypervisor ? "console=hvc0" : "console=ttyS0",
    commandLine,
    `lab.name=${options.name ?? "guest"} lab.number=${options.number ?? 1}`,
    options.copyExecutable ? "lab.copy" : "",
    options.commandLine ?? "",
  ];
  const dist = join(projectDir, "dist");
  const shared = (id: string, path: string, more = "") =>
    `local,path=${path},mount_tag=${id},security_model=none,multidevs=remap${more}`;
  return [
    // Guests end when the lab is killed.
    ...["setpriv", "--pdeathsig", "KILL", "--", options.qemu ?? "qemu-system-x86_64"],
    ...machine.split(" "),
    ...["-cpu", options.cpu ?? cpu, "-smp", String(options.processors ?? 1)],
    ...["-m", String(options.memoryMib ?? 1024)],
    ...bootArguments(options, (await fetchKernel()).elf, initramfs, words),
    ...["-serial", `file:${join(dir, "console.log")}`],
    ...["-qmp", `unix:${join(dir, "monitor")}`],
    ...["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent"],
    ...["-chardev", `socket,id=agent,path=${join(dir, "agent")}`],
    ...["-virtfs", shared("lab", join(dir, "lab"))],
    ...["-virtfs", shared("share", join(dir, "share"))],
    ...["-virtfs", shared("dist", dist, ",readonly=on")],
    ...(options.qemuArgs ?? []),
  ];
}

/** What QEMU loads: the kernel and its user land, or the hypervisor with both as its modules. */
function bootArguments(
  { hypervisor }: GuestOptions,
  kernel: string,
  initramfs: string,
  words: readonly string[],
): readonly string[] {
  const line = words.filter((word) => word !== "").join(" ");
  if (hypervisor === undefined) return ["-kernel", kernel, "-initrd", initramfs, "-append", line];
  const modules = `${kernel} ${line},${initramfs}`; // a comma ends a module
  const { image, commandLine } = hypervisor;
  return ["-kernel", image, "-initrd", modules, "-append", commandLine];
}

// The object that a scenario works with: it boots guests and counts checks, and what a scenario leaves running is
// ended when its time is over.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cacheDir } from "../../scripts/ensure.ts";
import { bootGuest, type Guest, type GuestOptions } from "./guest.ts";
import { Cable } from "./network.ts";
import type { Counts } from "./side-by-side.ts";
import { bootXenHost, type XenHost, type XenOptions } from "./xen-host.ts";

/** A scenario of the lab: one file in scenarios/ exports one as `scenario`. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** How long it takes on a quiet machine with two processors, in seconds: of those that run side by side the longest begin first. */
  readonly seconds: number;
  /** The whole scenario is stopped after this time; four minutes when not given. */
  readonly limitMs?: number;
  /** Its checks hold while another scenario runs. Without it the scenario has the machine for itself. */
  readonly besideOthers?: boolean;
  run(lab: Lab): Promise<void>;
}

const defaultLimitMs = 240_000;
const consoleLines = 25;

/** What a failed check reports about. The scripts of a domain are scripts of dom0, which has what they said. */
type Reporting = Pick<Guest, "name" | "console"> & Partial<Pick<Guest, "complaints">>;

/** One run of one scenario. */
export class Lab {
  passed = 0;
  failed = 0;
  readonly #scenario: string;
  readonly #owned = new AsyncDisposableStack();
  /** Guest or domain -> how much of its console has been shown. */
  readonly #guests = new Map<Reporting, number>();

  constructor(scenario: string) {
    this.#scenario = scenario;
  }

  /** Boots one guest; it lives until the scenario ends, or until its owner disposes it earlier. */
  async boot(options: GuestOptions = {}): Promise<Guest> {
    const guest = this.#owned.use(await bootGuest(options));
    this.#guests.set(guest, 0);
    return guest;
  }

  /** Boots two guests joined by a network: guest1 at 10.99.0.1 and fd99::1, guest2 likewise. */
  async bootPair(
    first: GuestOptions = {},
    second: GuestOptions = {},
  ): Promise<readonly [Guest, Guest]> {
    const cable = this.#owned.use(new Cable());
    const joined = (number: 1 | 2, options: GuestOptions) =>
      this.boot({
        name: `guest${number}`,
        ...options,
        number,
        qemuArgs: [...cable.qemuArgs(number), ...(options.qemuArgs ?? [])],
      });
    return Promise.all([joined(1, first), joined(2, second)]);
  }

  /** Boots Xen, its dom0 and domains joined by a bridge: guest1 at 10.99.0.1 and so on. */
  async bootXen(options: XenOptions): Promise<XenHost> {
    const host = this.#owned.use(await bootXenHost(options));
    for (const each of [host.dom0, ...host.domains]) this.#guests.set(each, 0);
    return host;
  }

  /** One check: `sentence` holds unless `body` throws or answers false. Prints the outcome, and a figure that `body` answers. */
  async check(sentence: string, body: () => unknown): Promise<boolean> {
    const from = performance.now();
    let failure: string | undefined;
    let figure = "";
    try {
      const answer = await body();
      if (answer === false) failure = "does not hold";
      if (answer instanceof Object && "measured" in answer) figure = `: ${answer.measured}`;
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
    const seconds = ((performance.now() - from) / 1000).toFixed(1).padStart(5);
    const verdict = failure === undefined ? "ok    " : "FAILED";
    const reason = failure === undefined ? figure : `: ${failure}`;
    process.stdout.write(`${verdict} ${seconds} s  ${this.#scenario}: ${sentence}${reason}\n`);
    if (failure === undefined) this.passed++;
    else await this.#fail();
    return failure === undefined;
  }

  /** Counts a failure and shows the last words of scripts, and what the guests' kernels have said since the last one. */
  async #fail(): Promise<void> {
    this.failed++;
    const logs = join(cacheDir(), "lab", "logs");
    mkdirSync(logs, { recursive: true });
    for (const [guest, shown] of this.#guests) {
      for (const line of guest.complaints?.() ?? [])
        process.stdout.write(`  ${guest.name}, ${line}\n`);
      const console = guest.console();
      const log = join(logs, `${this.#scenario}-${guest.name}.log`);
      await Bun.write(log, console);
      const lines = console.slice(shown).trim().split("\n").slice(-consoleLines);
      this.#guests.set(guest, console.length);
      if (lines[0] === "") continue;
      process.stdout.write(`  console of ${guest.name}, whole in ${log}:\n`);
      for (const line of lines) process.stdout.write(`  | ${line.trimEnd()}\n`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Runs one scenario within its time and counts its checks. */
export async function runScenario(scenario: Scenario): Promise<Counts> {
  await using lab = new Lab(scenario.name);
  const limitMs = scenario.limitMs ?? defaultLimitMs;
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(() => over.reject(new Error(`not done in ${limitMs} ms`)), limitMs);
  try {
    await Promise.race([scenario.run(lab), over.promise]);
  } catch (error) {
    await lab.check("the scenario ends without an error", () => Promise.reject(error));
  } finally {
    clearTimeout(timer);
  }
  return lab;
}

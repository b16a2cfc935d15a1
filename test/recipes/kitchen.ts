// Runs lines of recipes in a directory of their own, on loopback, and ends what they have started.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import { recipeNeeds } from "../../scripts/recipe-needs.ts";
import { built, dist, freePort, TempDir, within } from "../support/tool.ts";
import { until } from "../support/until.ts";
import { filled, recipe } from "./recipe.ts";

/** For a whole recipe, on a machine that is busy with other tests. */
const LIMIT_MS = 50_000;

/** A shell line that is running, with all processes that it has started. */
export class Line implements AsyncDisposable {
  readonly #line: string;
  readonly #child;
  readonly #out: Promise<string>;
  readonly #err: Promise<string>;

  constructor(line: string, cwd: string, env: Readonly<Record<string, string>>) {
    this.#line = line;
    // A session of its own: a signal to its group reaches the whole pipe, and nothing else.
    this.#child = Bun.spawn(["setsid", "bash", "-o", "pipefail", "-c", line], {
      cwd,
      env: { ...process.env, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#out = new Response(this.#child.stdout).text();
    this.#err = new Response(this.#child.stderr).text();
  }

  signal(name: NodeJS.Signals): void {
    if (this.#child.exitCode === null) process.kill(-this.#child.pid, name);
  }

  /** Waits for the end of the line; answers its status and output. */
  async ended(): Promise<{ status: number; stdout: string; stderr: string }> {
    const status = await within(this.#child.exited, `the end of: ${this.#line}`, LIMIT_MS);
    const output = Promise.all([this.#out, this.#err]);
    const [stdout, stderr] = await within(output, `output of: ${this.#line}`);
    return { status, stdout, stderr };
  }

  /** Waits for the end, which must be status 0; answers what the line printed. */
  async done(): Promise<string> {
    const { status, stdout, stderr } = await this.ended();
    if (status !== 0) throw new Error(`status ${status} of: ${this.#line}\n${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGKILL");
    await within(this.#child.exited, `the end of: ${this.#line}`);
  }
}

/** Where recipes are tried: a directory, a free port, an environment without the settings of the person who runs the tests. */
export class Kitchen implements AsyncDisposable {
  readonly #temp = new TempDir();
  readonly #lines = new AsyncDisposableStack();
  readonly port = freePort();
  readonly #env: Record<string, string>;

  private constructor(env: Readonly<Record<string, string>>) {
    const home = this.file("home");
    mkdirSync(home);
    const path = `${env.PATH ?? ""}:${dist}:${process.env.PATH}`;
    this.#env = { SDL_AUDIODRIVER: "dummy", ...env, HOME: home, PATH: path };
  }

  /** Installs the packages of the recipe unless `env` brings its own, and builds the tools. */
  static async of(title: string, env: Readonly<Record<string, string>> = {}): Promise<Kitchen> {
    const { packages } = recipe(title);
    ensureDebian(recipeNeeds.filter((need) => packages.includes(need.package)));
    await built();
    return new Kitchen(env);
  }

  /** The path of a file in the directory. */
  file(name: string): string {
    return join(this.#temp.path, name);
  }

  /** Starts a line; `values` are for placeholders beside the ones of every recipe. */
  start(line: string, values: Readonly<Record<string, string>> = {}, directory = "."): Line {
    const cwd = this.file(directory);
    mkdirSync(cwd, { recursive: true });
    const own = {
      "10.0.0.2": "127.0.0.1",
      5000: this.port,
      "receiver -p": "receiver -l 127.0.0.1 -p",
    };
    const usual = Object.entries(own).filter(([text]) => line.includes(text));
    const full = filled(line, { ...Object.fromEntries(usual), ...values });
    return this.#lines.use(new Line(full, cwd, this.#env));
  }

  /** Starts the page's sender of `device` (testsrc, or a film), with more options. */
  send(options: string, device = "testsrc"): Line {
    const [line = ""] = recipe("The sender").lines;
    return this.start(`${line} ${options}`, { "/dev/video0": device });
  }

  /** Waits until a receiver listens. */
  async listening(): Promise<void> {
    const port = Number(this.port).toString(16).toUpperCase().padStart(4, "0");
    const LISTEN = "0A"; // TCP_LISTEN of <net/tcp_states.h>
    const entry = new RegExp(`:${port} \\S+ ${LISTEN} `);
    const listens = () => entry.test(readFileSync("/proc/net/tcp", "utf8")) || undefined;
    await until("a receiver that listens", 20_000, listens);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lines.disposeAsync();
    this.#temp[Symbol.dispose]();
  }
}

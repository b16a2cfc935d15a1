// The executables as a user has them: builds them when they are stale, starts, watches and ends them. Every wait has
// a limit; a process is ended by its own id.
import { setDefaultTimeout } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";

export const dist = join(projectDir, "dist");
/** Longer than any step takes on a machine that is busy with other work. */
const WAIT_MS = 20_000;
/** How long a tool that has ended may have its pipes open. */
const PIPES_MS = 500;
setDefaultTimeout(60_000); // each wait in a test has its own limit, and its error says what it waited for

/** Settles like `promise`, or throws after `limitMs` and says what was waited for. */
export async function within<T>(promise: Promise<T>, what: string, limitMs = WAIT_MS): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms for ${what}`)), limitMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The time of the newest change of a source. */
export function changedMs(): number {
  const files = ["cmd", "src", "ffi", "scripts"].flatMap((dir) =>
    readdirSync(join(projectDir, dir), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => join(projectDir, dir, name)),
  );
  return Math.max(
    ...[...files, join(projectDir, "package.json")].map((path) => statSync(path).mtimeMs),
  );
}

let building: Promise<void> | undefined;

/** Builds dist/framepass when a source is newer than it; once in a run. */
export function built(): Promise<void> {
  building ??= build();
  return building;
}

async function build(): Promise<void> {
  const there = statSync(join(dist, "framepass"), { throwIfNoEntry: false });
  if (there !== undefined && there.mtimeMs > changedMs()) return;
  const child = Bun.spawn([process.execPath, "run", "build"], {
    cwd: projectDir,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 60_000,
  });
  if ((await child.exited) !== 0) throw new Error(await new Response(child.stderr).text());
}

/** A free TCP port of the loopback addresses. */
export function freePort(): string {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return String(port);
}

/** A temporary directory that its owner removes. */
export class TempDir implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "framepass-e2e-"));
  /** The path of a file in it. */
  file(name: string): string {
    return join(this.path, name);
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string | undefined>;
  /** Where stdout goes instead of being collected: a descriptor. */
  readonly stdout?: number;
  /** Descriptors that the tool inherits as 3, 4 and so on. They are larger than these numbers. */
  readonly inherits?: readonly number[];
  /** Words before the tool's own: the program that starts it. */
  readonly under?: readonly string[];
  /** Another executable than the one in dist. */
  readonly path?: string;
}

/** How a tool ended, and its output. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Lines of stderr. */
  readonly lines: readonly string[];
}

/** A tool that is running. */
export class Tool implements AsyncDisposable {
  readonly #child;
  readonly #name: string;
  readonly #out: Promise<string>;
  readonly #err: Promise<void>;
  readonly #listeners = new Set<() => void>();
  #stderr = "";

  private constructor(name: string, words: readonly string[], options: StartOptions) {
    this.#name = `${name} ${words.join(" ")}`;
    const path = options.path ?? join(dist, name);
    this.#child = Bun.spawn([...(options.under ?? []), path, ...words], {
      stdio: ["ignore", options.stdout ?? "pipe", "pipe", ...(options.inherits ?? [])],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    });
    const { stdout } = this.#child;
    this.#out =
      stdout instanceof ReadableStream ? new Response(stdout).text() : Promise.resolve("");
    this.#err = this.#collect();
  }

  /** Starts the tool of that name. */
  static async start(
    name: string,
    words: readonly string[],
    options: StartOptions = {},
  ): Promise<Tool> {
    await built();
    return new Tool(name, words, options);
  }

  async #collect(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of this.#child.stderr) {
      this.#stderr += decoder.decode(part, { stream: true });
      for (const listener of this.#listeners) listener();
    }
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Its stderr up to now. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until stderr has `text` for the `times`th time. Throws when the tool ends without it. */
  async says(text: string, times = 1): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (this.#stderr.split(text).length > times) resolve();
    };
    this.#listeners.add(look);
    look();
    const ended = this.#child.exited.then(async () => {
      await this.#err;
      if (this.#stderr.split(text).length <= times)
        throw new Error(`${this.#name} ended without "${text}":\n${this.#stderr}`);
    });
    try {
      await within(Promise.race([promise, ended]), `"${text}" of ${this.#name}`);
    } finally {
      this.#listeners.delete(look);
      ended.catch(() => undefined);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Waits for the end of the process and of its output. */
  async ended(limitMs = WAIT_MS): Promise<Ended> {
    const status = await within(this.#child.exited, `the end of ${this.#name}`, limitMs);
    const stdout = await within(this.#out, `stdout of ${this.#name}`);
    await within(this.#err, `stderr of ${this.#name}`);
    const lines = this.#stderr.split("\n").filter((line) => line !== "");
    return { status, stdout, stderr: this.#stderr, lines };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await within(this.#child.exited, `${this.#name} to be killed`);
    // Its pipes are closed when they have ended. What the tool has started may hold them longer.
    await Promise.race([Promise.all([this.#out, this.#err]), Bun.sleep(PIPES_MS)]);
  }
}

/** Starts a tool and waits for its end. */
export async function run(
  name: string,
  words: readonly string[],
  options: StartOptions = {},
): Promise<Ended> {
  await using tool = await Tool.start(name, words, options);
  return await tool.ended();
}

/** Starts a receiver on a free loopback port, and waits until it listens. */
export async function listening(
  words: readonly string[] = [],
  options: StartOptions = {},
): Promise<Tool & { readonly port: string }> {
  const port = freePort();
  const tool = await Tool.start("receiver", ["-l", "127.0.0.1", "-p", port, ...words], options);
  await tool.says("listening on");
  return Object.assign(tool, { port });
}

/** The words that make a sender send the built-in picture to a loopback port. */
export const toLoopback = (port: string): string[] => [
  ..."-d testsrc -a 127.0.0.1 -p".split(" "),
  port,
];

/** The records of a tool's stdout. */
export function records(stdout: string): Record<string, unknown>[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

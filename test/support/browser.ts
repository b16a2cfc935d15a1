// A headless Chromium that a test controls by the DevTools protocol: opens a page, asks it, and takes pictures of it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browserNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { within } from "./tool.ts";

/** Longer than Chromium takes to start on a machine that is busy with other work. */
const START_MS = 60_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly sessionId?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

export class Browser implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly #home = mkdtempSync(join(tmpdir(), "framepass-browser-"));
  readonly #waiting = new Map<number, (message: Message) => void>();
  #socket: WebSocket | undefined;
  #session: string | undefined;
  #next = 1;
  /** Errors and warnings that the console and the network log of the page have. */
  readonly complaints: string[] = [];

  private constructor() {
    this.#child = Bun.spawn(
      [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
        "--remote-debugging-port=0",
        `--user-data-dir=${this.#home}`,
        "about:blank",
      ],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "pipe",
        env: { ...process.env, HOME: this.#home },
      },
    );
  }

  /** Starts the browser with one page of that size. */
  static async start(width: number, height: number): Promise<Browser> {
    ensureDebian(browserNeeds);
    const browser = new Browser();
    try {
      const url = await within(browser.#address(), "Chromium to listen", START_MS);
      await within(browser.#connect(url), "a connection to Chromium", START_MS);
      await browser.#openPage(width, height);
      return browser;
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #address(): Promise<string> {
    let text = "";
    const decoder = new TextDecoder();
    for await (const part of this.#child.stderr) {
      text += decoder.decode(part, { stream: true });
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (url === undefined) continue;
      return url;
    }
    throw new Error(`Chromium ended:\n${text}`);
  }

  async #connect(url: string): Promise<void> {
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(String(data)) as Message);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`no connection to ${url}`));
    await promise;
  }

  #take({ id, method, params = {}, ...rest }: Message): void {
    if (id !== undefined) {
      this.#waiting.get(id)?.({ id, ...rest });
      this.#waiting.delete(id);
    } else if (method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(params));
    else if (method === "Log.entryAdded" || method === "Runtime.consoleAPICalled")
      this.complaints.push(JSON.stringify(params));
  }

  /** Calls a method of the protocol. Throws what it answers as an error. */
  async call(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Message>();
    this.#waiting.set(id, resolve);
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#socket?.send(JSON.stringify({ id, method, params, ...session }));
    const { result, error } = await within(promise, `${method} of Chromium`, START_MS);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  async #openPage(width: number, height: number): Promise<void> {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    this.#session = String(sessionId);
    for (const domain of ["Page", "Runtime", "Log"]) await this.call(`${domain}.enable`);
    await this.resize(width, height);
  }

  async resize(width: number, height: number): Promise<void> {
    const size = { width, height, deviceScaleFactor: 1, mobile: false };
    await this.call("Emulation.setDeviceMetricsOverride", size);
  }

  /** Shows the page with light or dark colours. */
  async prefer(value: "light" | "dark"): Promise<void> {
    const features = [{ name: "prefers-color-scheme", value }];
    await this.call("Emulation.setEmulatedMedia", { features });
  }

  async open(url: string): Promise<void> {
    const { errorText } = await this.call("Page.navigate", { url });
    if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
    await this.until('document.readyState === "complete"');
  }

  /** The value of an expression in the page, which may be a promise. */
  async value<T>(expression: string): Promise<T> {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  /** Waits until an expression in the page is true. */
  async until(expression: string): Promise<void> {
    const untilMs = performance.now() + START_MS;
    while (!(await this.value<boolean>(`Boolean(${expression})`))) {
      if (performance.now() > untilMs) throw new Error(`waited ${START_MS} ms for ${expression}`);
      await Bun.sleep(50);
    }
  }

  /** What the window shows, as PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(String(data), "base64");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.close();
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await within(this.#child.exited, "Chromium to end");
    clearTimeout(late);
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 5 });
  }
}

// Reports to the service manager that started the tool: sd_notify(3). Without NOTIFY_SOCKET nothing is sent. A socket that is
// not there or full does not stop a tool and does not delay it.
import { DatagramSender } from "../../ffi/datagram.ts";
import { errno, errnoName } from "../../ffi/errno.ts";
import { abstractAddress, type Sockaddr, unixAddress } from "../../ffi/sockaddr.ts";
import type { Loop } from "../loop.ts";
import { log, oneLine } from "./log.ts";
import type { ServiceVariables } from "./service-variables.ts";

/** How often READY=1 is sent again while the queue of the service manager is full. */
const RETRY_MS = 100;
/** Signs of life do not come more often, whatever the service manager wants: the loop has other work. */
const SHORTEST_SIGN_MS = 10;
/** systemd reads 4096 bytes of a datagram and ignores one that is longer. */
const LONGEST_STATUS = 1000;

export class ServiceNotifier implements Disposable {
  readonly #loop: Loop;
  readonly #sender: DatagramSender;
  readonly #name: string;
  readonly #watchdog: Disposable | undefined;
  /** The status of each stream of the tool. */
  readonly #statuses = new Map<string, string>();
  #sent = "";
  #ready = false;
  #stopping = false;
  #retry: Disposable | undefined;
  #warned = false;

  private constructor(loop: Loop, to: Sockaddr, watchdogMs: number | undefined) {
    this.#loop = loop;
    this.#sender = new DatagramSender(to);
    this.#name = to.name;
    // On the loop that moves the frames, so that a loop that hangs is noticed.
    if (watchdogMs !== undefined)
      this.#watchdog = loop.every(Math.max(watchdogMs / 2, SHORTEST_SIGN_MS), () =>
        this.#send("WATCHDOG=1"),
      );
  }

  /** Undefined where no service manager wants to know. */
  static open(
    loop: Loop,
    { notifySocket, watchdogMs }: ServiceVariables,
  ): ServiceNotifier | undefined {
    if (notifySocket === undefined) return undefined;
    try {
      return new ServiceNotifier(loop, notifyAddress(notifySocket), watchdogMs);
    } catch (error) {
      log.warn(`NOTIFY_SOCKET ${notifySocket}: ${(error as Error).message}; it is not used`);
      return undefined;
    }
  }

  /** The tool does its work now. Only the first call counts. */
  ready(): void {
    if (this.#ready) return;
    this.#ready = true;
    this.#sendReady();
  }

  /** What the tool does, in a line; `of` is the stream, where the tool has several. */
  status(text: string, of: string): void {
    this.#statuses.set(of, oneLine(text));
    const all = [...this.#statuses.values()].join("; ").slice(0, LONGEST_STATUS);
    if (all === this.#sent) return;
    this.#sent = all;
    this.#send(`STATUS=${all}`);
  }

  /** The tool is about to end. Only the first call counts, and only after `ready`. */
  stopping(): void {
    if (!this.#ready || this.#stopping) return;
    this.#stopping = true;
    this.#send("STOPPING=1");
  }

  #sendReady(): void {
    this.#retry?.[Symbol.dispose]();
    if (this.#send("READY=1") !== -errno.EAGAIN) return;
    this.#retry = this.#loop.after(RETRY_MS, () => this.#sendReady());
  }

  #send(text: string): number {
    const r = this.#sender.send(new TextEncoder().encode(text).slice());
    if (r < 0 && r !== -errno.EAGAIN && !this.#warned) {
      this.#warned = true;
      log.warn(`NOTIFY_SOCKET ${this.#name}: sendto: ${errnoName(-r)}`);
    }
    return r;
  }

  [Symbol.dispose](): void {
    this.#watchdog?.[Symbol.dispose]();
    this.#retry?.[Symbol.dispose]();
    this.#sender[Symbol.dispose]();
  }
}

/** A path, or "@" and an abstract name. Throws RangeError. */
function notifyAddress(text: string): Sockaddr {
  if (text.startsWith("/")) return unixAddress(text);
  if (text.startsWith("@")) return abstractAddress(text.slice(1));
  throw new RangeError("it is neither a path nor an abstract name");
}

let current: ServiceNotifier | undefined;

/** Reports go to the service manager of `variables` until the result is disposed. */
export function reportingTo(loop: Loop, variables: ServiceVariables): Disposable {
  const notifier = ServiceNotifier.open(loop, variables);
  current = notifier;
  return {
    [Symbol.dispose]: () => {
      notifier?.stopping();
      notifier?.[Symbol.dispose]();
      if (current === notifier) current = undefined;
    },
  };
}

/** The reports of a tool; without a service manager they do nothing. */
export const service = {
  ready: () => current?.ready(),
  status: (text: string, of = "") => current?.status(text, of),
  stopping: () => current?.stopping(),
};

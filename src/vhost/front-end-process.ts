// Serves each front-end in a process of its own: the front-end can take away memory that is mapped there (SIGBUS), and no check
// prevents that. This process holds a duplicate of the connection, waits for its end, and never reads from it. Where the
// process warms up, the next one is started before its front-end comes.
import { EPOLLRDHUP } from "../../ffi/epoll.ts";
import { asSysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { isHungUp } from "../../ffi/notifier.ts";
import { finishSending, socketPair } from "../../ffi/socket.ts";
import { counted, countedWere } from "../cli/counted.ts";
import { log, logLevel } from "../cli/log.ts";
import { LISTENER, type OwnProgram } from "../cli/own-program.ts";
import { failureFields } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { Allowance } from "./allowance.ts";
import { type QueueCounts, SharedCounts } from "./counts.ts";
import { handOver, inherited } from "./front-end-child.ts";

/** A child that lives this long after its front-end has left is killed. */
const LEFT_LIMIT_MS = 5000;
/** The same limit after this process was asked to end. */
const STOP_LIMIT_MS = 100;
/** How long a killed child is waited for. It does not end while a device call does not return. */
const KILLED_LIMIT_MS = 50;
/** How often the runtime runs while a child ends, to collect its status. */
const COLLECT_MS = 2;

/** Front-ends that are logged when they come without a pause, and how often one more is. */
const LOGGED_AT_ONCE = 20;
const LOGGED_EVERY_MS = 1000;

export interface FrontEndsOptions {
  /** The socket of the next front-end; undefined when no more will come. */
  readonly next: (signal: AbortSignal) => Promise<Fd | undefined>;
  /** Serves the connection that arrives on the descriptor `--fd`; `options` are its other words. Its folder is "/". */
  readonly program: OwnProgram;
  readonly options: readonly string[];
  /** The process of the next front-end is started before it comes. */
  readonly ahead: boolean;
  /** Ends after the first front-end. */
  readonly once: boolean;
  /** Called for each front-end, with the counters that its process updates. What it returns is disposed when that has ended. */
  readonly onFrontEnd: (counts: Readonly<QueueCounts>) => Disposable;
  /** Called with the fields of a failure record when a process did not end by itself, or could not be started. */
  readonly onFailure: (fields: Readonly<Record<string, unknown>>) => void;
}

/** Serves front-ends one after the other until `signal` aborts or there are no more. */
export async function serveFrontEnds(
  loop: Loop,
  options: FrontEndsOptions,
  signal: AbortSignal,
): Promise<void> {
  const allowance = new Allowance(LOGGED_AT_ONCE, LOGGED_EVERY_MS);
  for (;;) {
    using ahead = new DisposableStack();
    const coming = options.next(signal);
    const started = options.ahead ? startAhead(options, ahead) : undefined;
    const socket = await coming;
    if (socket === undefined) return;
    const { quiet, hidden } = allowance.take();
    if (hidden > 0)
      out().warn(`${countedWere(hidden, "front-end")} not logged: they came too fast`);
    await serveInProcess(
      loop,
      socket,
      { ...options, quiet: quiet && logLevel() !== "debug", started },
      signal,
    );
    if (signal.aborted || options.once) return;
  }
}

const out = () => log.withTag("vhost");

/** Starts a child for the next front-end. When that is not possible now, it is tried again when the front-end is there. */
function startAhead(options: FrontEndsOptions, owned: DisposableStack): Started | undefined {
  try {
    const started = owned.use(start(options));
    owned.defer(() => started.child.kill("SIGKILL")); // does nothing when it has ended
    return started;
  } catch (error) {
    out().debug(`the next front-end's process was not started: ${(error as Error).message}`);
    return undefined;
  }
}

/** Why the listener killed a child. */
type Killed = "overdue" | "stopped";

interface ServedOptions extends FrontEndsOptions {
  /** Log only errors that its process reports. */
  readonly quiet: boolean;
  /** Its process, if it was started before. */
  readonly started: Started | undefined;
}

async function serveInProcess(
  loop: Loop,
  socket: Fd,
  options: ServedOptions,
  signal: AbortSignal,
): Promise<void> {
  using owned = new DisposableStack();
  owned.use(socket);
  let started: Started;
  try {
    started = handedTo(options.started, socket, options) ?? owned.use(start(options));
    if (started !== options.started) handOver(started.handover, socket, options.quiet);
  } catch (error) {
    if (options.quiet) return; // a front-end that comes again and again is refused again and again
    const reason = asSysError(error) ?? (error as Error);
    out().error(`a front-end cannot be served: starting its process: ${reason.message}`);
    options.onFailure(failureFields(reason));
    return;
  }
  const { child, lifeline, shared } = started;
  owned.use(options.onFrontEnd(shared.counts));
  const { promise: ended, resolve } = loop.promise<void>();
  child.exited.then(() => resolve());
  let killed: Killed | undefined;
  const killAfter = (limitMs: number, why: Killed) => {
    const kill = () => {
      killed = why;
      child.kill("SIGKILL");
      owned.use(loop.after(KILLED_LIMIT_MS, resolve));
    };
    owned.use(loop.after(limitMs, kill));
  };
  const connection = owned.use(
    loop.watch(socket.number, EPOLLRDHUP, () => {
      connection.setEvents(0);
      killAfter(LEFT_LIMIT_MS, "overdue");
    }),
  );
  const life = owned.use(
    loop.watch(lifeline.number, EPOLLRDHUP, () => {
      life.setEvents(0);
      owned.use(loop.every(COLLECT_MS, () => undefined));
    }),
  );
  const abort = () => {
    finishSending(lifeline);
    killAfter(STOP_LIMIT_MS, "stopped");
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  await ended;
  signal.removeEventListener("abort", abort);
  const { pid, signalCode, exitCode } = child;
  const end = ending(child, killed);
  if (end === undefined && (exitCode ?? 0) === 0) return;
  const how = end ?? `ended with status ${exitCode}`;
  const message = `the process of the front-end (${pid}) ${how} after ${counted(shared.counts.requests, "request")}`;
  if (end !== undefined && !options.quiet) out().warn(message); // a child that exited has logged the reason
  options.onFailure({
    class: "ProcessEnded",
    message,
    object: `process ${pid}`,
    signal: signalCode,
  });
}

/** A child, and what its listener shares with it. */
interface Started extends Disposable {
  readonly child: Bun.Subprocess;
  /** Takes the connection of its front-end. */
  readonly handover: Fd;
  readonly lifeline: Fd;
  readonly shared: SharedCounts;
}

/** `started`, when it lives and has taken the connection. */
function handedTo(
  started: Started | undefined,
  socket: Fd,
  { quiet }: ServedOptions,
): Started | undefined {
  const lives = started !== undefined && !isHungUp(started.lifeline.number);
  return lives && handOver(started.handover, socket, quiet) ? started : undefined;
}

/**
 * The runtime compiles hot code in up to four stages. The last one takes more processor time than 10,000 commands need, and saves
 * less than 1 us a command: docs/decisions/0052-commands-and-pictures.md. The user's environment has precedence.
 */
const compiler = { BUN_JSC_useFTLJIT: "0" };

/** Starts a child for one front-end. Throws what the runtime or a system call throws. */
function start({ program, options }: FrontEndsOptions): Started {
  using owned = new DisposableStack();
  const [handover, connection] = socketPair();
  owned.use(handover);
  using _connection = connection;
  const [lifeline, theirs] = socketPair();
  owned.use(lifeline);
  using _theirs = theirs;
  const shared = owned.use(SharedCounts.create());
  using copies = new DisposableStack();
  // Bun copies them to 3, 4, 5 in the child, one after the other: a source with such a number would be overwritten first.
  const above = inherited.counts + 1;
  const fds = [connection.number, theirs.number, shared.fd].map(
    (fd) => copies.use(Fd.duplicate(fd, "descriptor of a child", above)).number,
  );
  const level = ["--log-level", logLevel()];
  const words = [...program.words, "--fd", String(inherited.handover), ...options, ...level];
  const child = Bun.spawn([program.file, ...words], {
    argv0: program.name,
    cwd: "/", // the runtime does not start in a folder that was removed
    env: { ...compiler, ...process.env, [LISTENER]: String(process.pid) },
    stdio: ["ignore", "ignore", "inherit", ...fds],
  });
  const ties = owned.move();
  return { child, handover, lifeline, shared, [Symbol.dispose]: () => ties.dispose() };
}

/** What is likely to have happened when a child ends by one of these signals. */
const reasons: Readonly<Record<string, string>> = {
  SIGBUS: "guest memory was cut off, or its tmpfs or huge pages ran out",
  SIGKILL: "by another program, or the host is out of memory",
};

/** How a child ended: the signal or our reason. Undefined if it exited, because then it has logged the reason. */
function ending(child: Bun.Subprocess, killed: Killed | undefined): string | undefined {
  if (killed === "stopped") return undefined;
  if (killed === "overdue") {
    const seconds = LEFT_LIMIT_MS / 1000;
    return `was killed because it had not ended ${seconds} s after its front-end left,`;
  }
  const { signalCode } = child;
  if (signalCode === null) return undefined;
  const reason = reasons[signalCode];
  return `was ended by ${signalCode}${reason === undefined ? "" : ` (${reason})`}`;
}

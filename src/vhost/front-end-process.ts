// Serves each front-end in a process of its own: the front-end can take away memory that is mapped there (SIGBUS), and no check
// prevents that. This process holds a duplicate of the connection, waits for its end, and never reads from it.
import { EPOLLRDHUP } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { finishSending, socketPair } from "../../ffi/socket.ts";
import { log } from "../cli/log.ts";
import type { OwnProgram } from "../cli/own-program.ts";
import { failureFields } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { type QueueCounts, SharedCounts } from "./counts.ts";
import { inherited, LISTENER } from "./front-end-child.ts";

/** A child that lives this long after its front-end has left is killed. */
const LEFT_LIMIT_MS = 5000;
/** The same after this process was asked to end. */
const STOP_LIMIT_MS = 100;
/** A killed child that does not end, because a device call never returns, is not waited for any longer. */
const KILLED_LIMIT_MS = 1000;
/** How often the runtime runs while a child ends, to collect its status. */
const COLLECT_MS = 2;

export interface FrontEndsOptions {
  /** The socket of the next front-end; undefined when no more will come. */
  readonly next: (signal: AbortSignal) => Promise<Fd | undefined>;
  /** Serves the connection on the descriptor that `--fd` names, with `options` as its other words. */
  readonly program: OwnProgram;
  readonly options: readonly string[];
  /** Ends after the first front-end. */
  readonly once: boolean;
  /** Called for each front-end, with the counters that its process updates. */
  readonly onFrontEnd: (counts: Readonly<QueueCounts>) => void;
  /** Called with the fields of a failure record when a process did not end by itself, or could not be started. */
  readonly onFailure: (fields: Readonly<Record<string, unknown>>) => void;
}

/** Serves front-ends one after the other until `signal` aborts or there are no more. */
export async function serveFrontEnds(
  loop: Loop,
  options: FrontEndsOptions,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const socket = await options.next(signal);
    if (socket === undefined) return;
    await serveInProcess(loop, socket, options, signal);
    if (signal.aborted || options.once) return;
  }
}

/** Why a child was killed by us. */
type Killed = "overdue" | "stopped";

async function serveInProcess(
  loop: Loop,
  socket: Fd,
  { program, options, onFrontEnd, onFailure }: FrontEndsOptions,
  signal: AbortSignal,
): Promise<void> {
  using owned = new DisposableStack();
  owned.use(socket);
  const [lifeline, theirs] = socketPair();
  owned.use(lifeline);
  owned.use(theirs);
  const shared = owned.use(SharedCounts.create());
  const out = log.withTag("vhost");
  let child: Bun.Subprocess;
  try {
    child = start(program, options, [socket.number, theirs.number, shared.fd]);
  } catch (error) {
    out.error(`the front-end cannot be served: starting its process: ${(error as Error).message}`);
    onFailure(failureFields(error));
    return;
  }
  theirs[Symbol.dispose]();
  onFrontEnd(shared.counts);
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
  const end = ending(child, killed);
  if (end === undefined) return;
  const { pid, signalCode: by } = child;
  const message = `the process of the front-end (${pid}) ${end} after ${shared.counts.requests} requests`;
  out.warn(message);
  onFailure({ class: "ProcessEnded", message, object: `process ${pid}`, signal: by });
}

/** Starts the child. Its descriptors from 3 on are `fds`, in order. Throws what the runtime or a system call throws. */
function start(
  { file, name, words }: OwnProgram,
  options: readonly string[],
  fds: readonly [number, number, number],
) {
  // Above the child's numbers, because one is copied after the other there.
  using owned = new DisposableStack();
  const above = inherited.counts + 1;
  const high = fds.map((fd) => owned.use(Fd.duplicate(fd, "descriptor of a child", above)).number);
  return Bun.spawn([file, ...words, "--fd", String(inherited.connection), ...options], {
    argv0: name,
    env: { ...process.env, [LISTENER]: String(process.pid) },
    stdio: ["ignore", "ignore", "inherit", ...high],
  });
}

/** What happened to memory or to the host when a child ends by these signals. */
const reasons: Readonly<Record<string, string>> = {
  SIGBUS: "guest memory was cut off, or its tmpfs or huge pages ran out",
  SIGKILL: "by another program, or the host is out of memory",
};

/** How a child ended, unless it ended by itself: then it has logged why. */
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

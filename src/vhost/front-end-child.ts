// The process that serves one front-end. The listener starts it: the same program with --fd, with inherited descriptors and an
// environment variable that names the listener. It may be started before its front-end comes, and gets the connection then.
// This file has the child's side, front-end-process.ts the listener's.
import { receiveWithDescriptors, sendWithDescriptors } from "../../ffi/descriptors.ts";
import { EPOLLIN, EPOLLRDHUP } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { dieWithParent } from "../../ffi/process.ts";
import { log } from "../cli/log.ts";
import { LISTENER, startedAgainBy } from "../cli/own-program.ts";
import type { Loop } from "../loop.ts";
import { type QueueCounts, SharedCounts } from "./counts.ts";
import { type DryRun, warmUp } from "./warm-up.ts";

/** Descriptors of the child: where the connection arrives, a socket that closes when the listener ends, the counters. */
export const inherited = { handover: 3, lifeline: 4, counts: 5 } as const;

/** What the listener passed to its child. */
export interface ChildOf extends Disposable {
  readonly counts: QueueCounts;
  /** Aborts when the listener ends, or wants the child to end. */
  readonly signal: AbortSignal;
  /**
   * The connection of the front-end, as soon as there is one; until then the process warms up with `dry`. Undefined when the
   * listener ends before, or `stopped` aborts: then the listener starts another process.
   */
  frontEnd(dry: DryRun | undefined, stopped: AbortSignal): Promise<Fd | undefined>;
}

/** The message with a connection: one byte, whether only errors are logged. */
const handover = new Uint8Array(new ArrayBuffer(1));
const handoverAt = addressOf(handover);

/** Passes the connection of a front-end to a child. False when the child has ended. */
export function handOver(to: Fd, connection: Fd, quiet: boolean): boolean {
  handover[0] = quiet ? 1 : 0;
  return sendWithDescriptors(to, handoverAt, handover.length, [connection.number]) === 1;
}

/** Takes the connection; undefined when none will come. */
function takeOver(from: Fd): Fd | undefined {
  const fds: Fd[] = [];
  const r = receiveWithDescriptors(from, handoverAt, handover.length, fds);
  if (r === 1 && handover[0] === 1) log.level = 0;
  return fds[0];
}

/** What the listener passed to this process; undefined when no listener started it. Throws SysError, UsageError. */
export function childOfListener(loop: Loop): ChildOf | undefined {
  const { handover, lifeline: tie, counts: counters } = inherited;
  const passed = { sockets: [handover, tie], memory: [counters] };
  const listener = startedAgainBy(LISTENER, passed);
  if (listener === undefined) return undefined;
  using owned = new DisposableStack();
  const stop = new AbortController();
  dieWithParent();
  if (String(process.ppid) !== listener) stop.abort(); // the listener ended before prctl: no signal will come
  const lifeline = owned.use(new Fd(inherited.lifeline, "listener"));
  const { counts } = owned.use(new SharedCounts(new Fd(inherited.counts, "counters")));
  const watch = owned.use(
    loop.watch(lifeline.number, EPOLLRDHUP, () => {
      watch.setEvents(0);
      stop.abort();
    }),
  );
  const ties = owned.move();
  return {
    counts,
    signal: stop.signal,
    frontEnd: (dry, stopped) => frontEndFor(loop, dry, AbortSignal.any([stop.signal, stopped])),
    [Symbol.dispose]: () => ties.dispose(),
  };
}

async function frontEndFor(
  loop: Loop,
  dry: DryRun | undefined,
  ended: AbortSignal,
): Promise<Fd | undefined> {
  using from = new Fd(inherited.handover, "connection of the front-end");
  const arrived = new AbortController();
  const { promise, resolve } = loop.promise<void>();
  const stop = () => {
    arrived.abort();
    resolve();
  };
  using watch = loop.watch(from.number, EPOLLIN | EPOLLRDHUP, () => {
    watch.setEvents(0);
    stop();
  });
  ended.addEventListener("abort", stop, { once: true });
  if (ended.aborted) stop();
  if (dry !== undefined) await warmUp(loop, dry, arrived.signal);
  await promise;
  ended.removeEventListener("abort", stop);
  return ended.aborted ? undefined : takeOver(from);
}

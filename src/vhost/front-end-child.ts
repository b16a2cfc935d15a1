// The process that serves one front-end. The listener starts it: the same program with --fd, with inherited descriptors and an
// environment variable that names the listener. This file has the child's side, front-end-process.ts the listener's.
import { EPOLLRDHUP } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { dieWithParent } from "../../ffi/process.ts";
import { startedAgainBy } from "../cli/own-program.ts";
import type { Loop } from "../loop.ts";
import { type QueueCounts, SharedCounts } from "./counts.ts";

/** Descriptors of the child: the front-end's connection, a socket that closes when the listener ends, the counters. */
export const inherited = { connection: 3, lifeline: 4, counts: 5 } as const;
/** In the environment of a child: the process id of its listener. */
export const LISTENER = "FRAMEPASS_VHOST_LISTENER";

/** What the listener passed to its child. */
export interface ChildOf extends Disposable {
  readonly counts: QueueCounts;
  /** Aborts when the listener ends, or wants the child to end. */
  readonly signal: AbortSignal;
}

/** What the listener passed to this process; undefined when no listener started it. Throws SysError, UsageError. */
export function childOfListener(loop: Loop): ChildOf | undefined {
  const { connection, lifeline: tie, counts: counters } = inherited;
  const passed = { sockets: [connection, tie], memory: [counters] };
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
  return { counts, signal: stop.signal, [Symbol.dispose]: () => ties.dispose() };
}

// The process of one front-end, which the listener starts: the descriptors that it inherits, and its ties to the listener. It
// is this same program with --fd; the listener announces itself in the environment.
import { EPOLLRDHUP } from "../../ffi/epoll.ts";
import { Fd } from "../../ffi/fd.ts";
import { dieWithParent } from "../../ffi/process.ts";
import type { Loop } from "../loop.ts";
import { type QueueCounts, SharedCounts } from "./counts.ts";

/** Descriptors of the child: the front-end's connection, a socket whose end is that of the listener, the counters. */
export const inherited = { connection: 3, lifeline: 4, counts: 5 } as const;
/** In the environment of a child: the process id of its listener. */
export const LISTENER = "FRAMEPASS_VHOST_LISTENER";

/** What a child has from its listener. */
export interface ChildOf extends Disposable {
  readonly counts: QueueCounts;
  /** Aborts when the listener ends, or wants the child to end. */
  readonly signal: AbortSignal;
}

/** The ties of this process to its listener; undefined when it was started by anyone else. Throws SysError. */
export function childOfListener(loop: Loop): ChildOf | undefined {
  const listener = process.env[LISTENER];
  if (listener === undefined) return undefined;
  delete process.env[LISTENER];
  using owned = new DisposableStack();
  const stop = new AbortController();
  dieWithParent();
  if (String(process.ppid) !== listener) stop.abort(); // it ended before that
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

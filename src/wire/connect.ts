// Connecting, with a limit on how long it may take.
import { EPOLLOUT } from "../../ffi/epoll.ts";
import { errno, SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import type { Sockaddr } from "../../ffi/sockaddr.ts";
import { connectResult, startConnect } from "../../ffi/socket.ts";
import type { Loop } from "../loop.ts";
import type { Address } from "./address.ts";

/**
 * Connects to `address`, trying all that a host name stands for. Undefined when `signal` aborts first.
 * Throws SysError (ETIMEDOUT after `timeoutMs`), or UnavailableError for a name nobody knows.
 */
export async function connect(
  loop: Loop,
  address: Address,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Fd | undefined> {
  let failure: unknown;
  for (const to of await address.resolve()) {
    if (signal.aborted) return undefined;
    try {
      return await connectTo(loop, to, timeoutMs, signal);
    } catch (error) {
      failure = error;
    }
  }
  throw failure ?? new SysError("connect", address.text, errno.EADDRNOTAVAIL);
}

async function connectTo(
  loop: Loop,
  to: Sockaddr,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Fd | undefined> {
  using owned = new DisposableStack();
  const socket = startConnect(to);
  owned.use(socket);
  const { promise, resolve } = loop.promise<number | undefined>();
  using _watch = loop.watch(socket.number, EPOLLOUT, () => resolve(connectResult(socket)));
  using _timer = loop.after(timeoutMs, () => resolve(-errno.ETIMEDOUT));
  const abort = () => resolve(undefined);
  signal.addEventListener("abort", abort, { once: true });
  const result = await promise;
  signal.removeEventListener("abort", abort);
  if (result === undefined) return undefined;
  if (result < 0) throw new SysError("connect", to.name, -result);
  owned.move();
  return socket;
}

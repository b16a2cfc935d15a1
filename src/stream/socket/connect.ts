// Connecting, with a time limit.
import { EPOLLOUT } from "../../../ffi/epoll.ts";
import { errno, SysError } from "../../../ffi/errno.ts";
import type { Fd } from "../../../ffi/fd.ts";
import { AF_UNIX, AF_VSOCK } from "../../../ffi/linux/socket.ts";
import type { Sockaddr } from "../../../ffi/sockaddr.ts";
import { connectResult, startConnect } from "../../../ffi/socket.ts";
import { advised } from "../../errors.ts";
import type { Loop } from "../../loop.ts";
import { type Address, resolveUnless } from "./address.ts";
import { noticeLoss } from "./liveness.ts";

/**
 * Connects to `address`; tries every address of a host name. `again`: the caller tries again after a failure. Undefined when `signal` aborts first.
 * Throws SysError (ETIMEDOUT after `timeoutMs`), or UnavailableError for an unknown name.
 */
export async function connect(
  loop: Loop,
  address: Address,
  timeoutMs: number,
  again: boolean,
  signal: AbortSignal,
): Promise<Fd | undefined> {
  let failure: unknown;
  for (const to of await resolveUnless(loop, address, signal)) {
    if (signal.aborted) break;
    try {
      return await connectTo(loop, to, timeoutMs, again, signal);
    } catch (error) {
      failure = error;
    }
  }
  if (signal.aborted) return undefined;
  throw failure ?? new SysError("connect", address.text, errno.EADDRNOTAVAIL);
}

/** What the user can do about an errno of connect(); `again`: it is tried again anyway. */
export function connectAdvice(
  { code }: Pick<SysError, "code">,
  { family }: Pick<Sockaddr, "family">,
  again: boolean,
): string {
  const start = again
    ? "start the receiver"
    : "start the receiver first, or wait for it with --reconnect";
  switch (code) {
    case "ECONNREFUSED":
    case "ENOENT":
      return start;
    case "ECONNRESET": // a vsock port on which nothing listens answers with a reset
      return family === AF_VSOCK ? start : "";
    case "ETIMEDOUT":
      return "check --address and firewalls, or allow more time with --connect-timeout";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
    case "EADDRNOTAVAIL":
      return "check --address and the network";
    case "ENODEV":
    case "EAFNOSUPPORT":
      return "this host lacks that kind of address: use another --address";
    case "EACCES":
      return family === AF_UNIX ? "ask the socket's owner for write permission" : "";
    default:
      return "";
  }
}

async function connectTo(
  loop: Loop,
  to: Sockaddr,
  timeoutMs: number,
  again: boolean,
  signal: AbortSignal,
): Promise<Fd | undefined> {
  using owned = new DisposableStack();
  const fail = (error: SysError) => advised(error, connectAdvice(error, to, again));
  const socket = owned.use(begin(to, fail));
  const { promise, resolve } = loop.promise<number | undefined>();
  using _watch = loop.watch(socket.number, EPOLLOUT, () => resolve(connectResult(socket)));
  using _timer = loop.after(timeoutMs, () => resolve(-errno.ETIMEDOUT));
  const abort = () => resolve(undefined);
  signal.addEventListener("abort", abort, { once: true });
  const result = await promise;
  signal.removeEventListener("abort", abort);
  if (result === undefined) return undefined;
  if (result < 0) throw fail(new SysError("connect", to.name, -result));
  noticeLoss(socket);
  owned.move();
  return socket;
}

function begin(to: Sockaddr, fail: (error: SysError) => SysError): Fd {
  try {
    return startConnect(to);
  } catch (error) {
    throw error instanceof SysError ? fail(error) : error;
  }
}

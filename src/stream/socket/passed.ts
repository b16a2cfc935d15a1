// The listening socket that a service manager passed: sd_listen_fds(3). It is checked before it is used, and its path is left
// to the service manager.
import { SysError } from "../../../ffi/errno.ts";
import { AF_INET, AF_INET6, AF_UNIX, AF_VSOCK } from "../../../ffi/linux/socket.ts";
import { unixPath } from "../../../ffi/sockaddr.ts";
import { type InheritedSocket, inheritedSocket, localAddress } from "../../../ffi/socket.ts";
import { counted } from "../../cli/counted.ts";
import { type PassedSockets, serviceVariables } from "../../cli/service-variables.ts";
import { UsageError } from "../../errors.ts";
import type { Address } from "./address.ts";

/** The number of the first one: sd-daemon.h, SD_LISTEN_FDS_START. */
const FIRST = 3;
/** Names of socket units that an error shows. */
const MOST_NAMES = 5;

const kinds: ReadonlyMap<number, Address["kind"]> = new Map([
  [AF_UNIX, "unix"],
  [AF_INET, "inet"],
  [AF_INET6, "inet"],
  [AF_VSOCK, "vsock"],
]);

/** An address with the socket that listens there. */
export type PassedAddress = Address & Required<Pick<Address, "socket">>;

/**
 * The socket that was passed; undefined without one. `wanted` are the kinds that the tool can listen on. Throws UsageError.
 */
export function passedSocket(
  wanted: readonly Address["kind"][],
  passed: PassedSockets | undefined = serviceVariables.passed,
  first = FIRST,
): PassedAddress | undefined {
  if (passed === undefined || passed.count === "0") return undefined;
  const { count, names } = passed;
  if (!/^\d{1,9}$/.test(count))
    throw new UsageError(`LISTEN_FDS must be a number of sockets, got "${count}"; unset it`);
  if (Number(count) > 1) {
    const named = names.length > 0 ? ` (${names.slice(0, MOST_NAMES).join(", ")})` : "";
    throw new UsageError(
      `${counted(Number(count), "socket")} were passed${named}, and this tool listens on one: give the service one socket with one ListenStream=`,
    );
  }
  const inherited = inheritedAt(first);
  const { socket } = inherited;
  try {
    const kind = kinds.get(inherited.family);
    const wrong = wrongWith(inherited, kind !== undefined && wanted.includes(kind), wanted);
    if (kind === undefined || wrong !== undefined)
      throw new UsageError(`the socket that was passed ${wrong}`);
    const at = localAddress(socket);
    const path = unixPath(at);
    const text = path === undefined ? at.name : `unix:${path}`;
    return { text, kind, socket, resolve: async () => [at] };
  } catch (error) {
    socket[Symbol.dispose]();
    throw error;
  }
}

function wrongWith(
  { stream, listening, connected }: InheritedSocket,
  fits: boolean,
  wanted: readonly string[],
): string | undefined {
  if (!fits) return `is of another kind than ${wanted.join(", ")}`;
  if (!stream) return "is no stream socket: the socket unit needs ListenStream=";
  if (connected) return "is a connection: the socket unit needs Accept=no";
  return listening ? undefined : "does not listen";
}

function inheritedAt(fd: number): InheritedSocket {
  try {
    return inheritedSocket(fd);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    const what = error.code === "ENOTSOCK" ? "is no socket" : `is not open (${error.code})`;
    throw new UsageError(`LISTEN_FDS is set, and descriptor ${fd} ${what}; unset LISTEN_FDS`);
  }
}

// Where a tool listens: an address of its command line, or the socket that a service manager passed.
import { UsageError } from "../../errors.ts";
import { type AccessValues, accessOption, readSocketAccess } from "./access.ts";
import type { Address } from "./address.ts";
import { type PassedAddress, passedSocket } from "./passed.ts";

export interface ListenWish {
  /** The kinds that the tool can listen on. */
  readonly kinds: readonly Address["kind"][];
  /** The options of the command line that say where to listen: "--listen". */
  readonly given: readonly string[];
  readonly access: AccessValues;
  /** Reads the address of the command line. */
  readonly parse: () => Address;
}

/** Where to listen. Throws UsageError, also when both name a place. */
export function listenAddress(
  { kinds, given, access, parse }: ListenWish,
  passed: PassedAddress | undefined = passedSocket(kinds),
): Address {
  const restricted = accessOption(access);
  if (passed !== undefined) {
    const [option] = given;
    if (option !== undefined)
      throw new UsageError(
        `${option} is given, and a service manager has passed the socket ${passed.text}: remove one of them`,
      );
    if (restricted !== undefined)
      throw new UsageError(
        `--${restricted} is for a socket that this tool makes, and ${passed.text} was passed by a service manager: use SocketGroup= and SocketMode= of its socket unit`,
      );
    return passed;
  }
  const address = parse();
  if (restricted === undefined) return address;
  if (address.kind !== "unix")
    throw new UsageError(`--${restricted} is for Unix sockets, not for ${address.text}`);
  return { ...address, access: readSocketAccess(access) };
}

// Who may connect to a Unix socket: the owner and the mode of its file. unix(7), "Pathname socket ownership and permissions".
import { fstatSync } from "node:fs";
import { errno, must, result, SysError } from "./errno.ts";
import { Fd, O_NOFOLLOW, O_PATH } from "./fd.ts";
import { addressOf, cString, libc } from "./libc.ts";

export interface SocketAccess {
  /** Permissions of the file. */
  readonly mode: number;
  /** Number of the group; undefined leaves it. */
  readonly group: number | undefined;
}

const OWNER_ONLY = 0o600;
/** chown(2): this id stays as it is. */
const UNCHANGED = 0xffff_ffff;

/** Before bind: the file gets the mode of the socket, without the bits of the umask, so that at first only its owner may connect. */
export function closeAccess(socket: Fd): void {
  must(result(libc.fchmod(socket.number, OWNER_ONLY)), "fchmod", socket.name);
}

/**
 * After bind: the group, then the mode, so that at no moment another group has these permissions. Works on the file that is
 * found now: a link that was put in its place is not followed. Throws SysError.
 */
export function openAccess(path: string, { mode, group }: SocketAccess): void {
  const name = `unix:${path}`;
  using file = Fd.open(path, O_PATH | O_NOFOLLOW);
  if (!fstatSync(file.number).isSocket()) throw new SysError("open", name, errno.ENOTSOCK);
  const at = cString(`/proc/self/fd/${file.number}`);
  if (group !== undefined) must(result(libc.chown(addressOf(at), UNCHANGED, group)), "chown", name);
  must(result(libc.chmod(addressOf(at), mode)), "chmod", name);
}

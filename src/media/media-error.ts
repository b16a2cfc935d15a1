// A command that is refused: the errno that the guest's driver passes to the program, and the reason in words for the log.
import { errno, SysError } from "../../ffi/errno.ts";

/** The errnos of the device: virtio-media allows only positive ones of Linux. */
export type Refusal =
  | "EACCES"
  | "EBUSY"
  | "EINVAL"
  | "EIO"
  | "EMFILE"
  | "ENOMEM"
  | "ENOSPC"
  | "ENOTTY"
  | "ERANGE";

/** A command of a virtio-media driver is refused; `code` goes to the guest. */
export class MediaError extends Error {
  override readonly name = "MediaError";
  readonly code: Refusal;
  /** Positive. */
  readonly errno: number;
  constructor(code: Refusal, reason: string) {
    super(reason);
    this.code = code;
    this.errno = errno[code];
  }
}

/** Throws EINVAL unless `holds`. */
export function check(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new MediaError("EINVAL", reason);
}

/** What a command threw, as a refusal: the host may be out of memory or descriptors. Throws other errors, which are defects. */
export function asRefusal(error: unknown): MediaError {
  if (error instanceof MediaError) return error;
  if (error instanceof SysError) return new MediaError("ENOMEM", error.message);
  throw error;
}

// A request of a front-end that is refused: it is acknowledged as a failure where that was asked for, logged, and the
// connection goes on. A ProtocolError ends the connection instead.
import { SysError } from "../../ffi/errno.ts";
import { UnfitFile } from "../../ffi/shared-region.ts";

/** A request of the front-end that cannot be served: it is answered with a failure, and the connection goes on. */
export class RequestRefused extends Error {
  override readonly name = "RequestRefused";
}

/**
 * Makes a RequestRefused of an error that the front-end caused: a failed system call or an unfit descriptor. `where` is put
 * before the text. Undefined for any other error, which is a defect.
 */
export function asRefused(error: unknown, where = ""): RequestRefused | undefined {
  if (error instanceof RequestRefused) return error;
  const outside = error instanceof UnfitFile || error instanceof SysError;
  return outside ? new RequestRefused(`${where}${error.message}`, { cause: error }) : undefined;
}

// The end of the connection to an X server. Xlib ends the process then, inside of any call, and nothing is cleaned up: no socket
// is removed, no file finished. With a handler of ours it returns instead: XSetIOErrorExitHandler(3), libX11 1.7 and later.
import { FFIType, JSCallback } from "bun:ffi";
import { type Functions, LibraryError, openLibrary } from "./library.ts";

const at = FFIType.u64_fast;
const signatures = {
  XSetIOErrorHandler: { args: [at], returns: FFIType.i64_fast },
  XSetIOErrorExitHandler: { args: [at, at, at], returns: FFIType.void },
} as const;

let lost = false;
/** Both are kept: Xlib calls them as long as the process lives. */
let handlers: { readonly lost: JSCallback; readonly goesOn: JSCallback } | undefined;

/** Whether the connection to the X server has ended. No call of it means anything after that. */
export const isServerLost = (): boolean => lost;

/** From now on the process goes on when the connection of `display` (a Display *) ends. Does nothing with an older libX11. */
export function surviveServer(display: number): void {
  let x11: Functions<typeof signatures>;
  try {
    x11 = openLibrary("libX11.so.6", signatures);
  } catch (error) {
    if (error instanceof LibraryError) return;
    throw error;
  }
  const noteLoss = () => {
    lost = true;
    return 0;
  };
  handlers ??= {
    lost: new JSCallback(noteLoss, { args: ["ptr"], returns: "int" }),
    goesOn: new JSCallback(() => undefined, { args: ["ptr", "ptr"], returns: "void" }),
  };
  x11.XSetIOErrorHandler(Number(handlers.lost.ptr));
  x11.XSetIOErrorExitHandler(display, Number(handlers.goesOn.ptr), 0);
}

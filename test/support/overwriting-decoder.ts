// A decoder's process in which each failed recv and send is followed by a call that the fence denies, as calls of the runtime can be
// between two of ours. A new socket is one that it denies.
import { libc } from "../../ffi/libc.ts";
import { decodeForDaemon } from "../../src/video/codec/libavcodec/decoder-child.ts";

const [AF_UNIX, SOCK_STREAM] = [1, 1];

/** Overwrites errno after a call that failed. */
function overwritten<A extends unknown[]>(call: (...args: A) => number): (...args: A) => number {
  return (...args) => {
    const r = call(...args);
    if (r !== -1) return r;
    const socket = libc.socket(AF_UNIX, SOCK_STREAM, 0);
    if (socket >= 0) libc.close(socket); // before the fence
    return r;
  };
}

Object.assign(libc, { recv: overwritten(libc.recv), send: overwritten(libc.send) });
decodeForDaemon();

// How many bytes TCP collects before it wakes the receiver: SO_RCVLOWAT, socket(7). A wake-up costs more than the copy of 64 KB.
import type { Fd } from "../../../ffi/fd.ts";
import { SO_RCVLOWAT, SOL_SOCKET } from "../../../ffi/linux/socket.ts";
import { setOption } from "../../../ffi/socket.ts";
import { onPeer } from "../../errors.ts";
import { isTcp } from "./liveness.ts";

/**
 * The most. More would fill the window of a connection and hold the sender up, and these bytes are copied only after the last
 * of them has arrived. The kernel wakes the receiver in any case when the window is full, at the end and on errors.
 */
const MOST = 1024 * 1024;
/** The rest of a message of this size is worth a wake-up of its own. Several smaller ones are received in one turn. */
const LEAST = 128 * 1024;

/** The mark of one socket. Disposing it restores the socket's own, for code that reads it afterwards. */
export class LowWater implements Disposable {
  readonly #socket: Fd;
  #mark = 1;

  private constructor(socket: Fd) {
    this.#socket = socket;
  }

  /** Undefined for sockets other than TCP. Throws PeerGone. */
  static of(socket: Fd): LowWater | undefined {
    return onPeer(() => isTcp(socket)) ? new LowWater(socket) : undefined;
  }

  /** Whether it is better to wait until all of `bytes` have arrived, and to receive them with one call. */
  collects(bytes: number): boolean {
    return bytes >= LEAST && bytes <= MOST;
  }

  /**
   * Call before waiting, with the bytes that are certain to come: those of a message that has begun. The mark is never higher,
   * or the end of the message would be reported with the next one. It is changed only if it is too high or less than half of
   * what it can be. Throws PeerGone.
   */
  expect(bytes: number): void {
    const most = Math.max(1, Math.min(bytes, MOST));
    if (this.#mark <= most && this.#mark * 2 >= most) return;
    this.#set(most);
  }

  #set(mark: number): void {
    this.#mark = mark;
    onPeer(() => setOption(this.#socket, SOL_SOCKET, SO_RCVLOWAT, mark));
  }

  [Symbol.dispose](): void {
    if (this.#mark > 1) this.#set(1);
  }
}

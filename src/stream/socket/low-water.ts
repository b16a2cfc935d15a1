// How many bytes TCP collects before it wakes the receiver: SO_RCVLOWAT, socket(7). A wake-up costs more than the copy of 64 KB.
import type { Fd } from "../../../ffi/fd.ts";
import { SO_RCVLOWAT, SOL_SOCKET } from "../../../ffi/linux/socket.ts";
import { setOption } from "../../../ffi/socket.ts";
import { onPeer } from "../../errors.ts";
import { isTcp } from "./liveness.ts";

/**
 * The most in a stream as fast as it goes. More would fill the window of a connection and hold the sender up, and these bytes are
 * copied only after the last of them has arrived. The kernel wakes the receiver in any case when the window is full, at the end and
 * on errors.
 */
const MOST = 1024 * 1024;
/**
 * The most at the rate of a camera. There each frame begins with an empty connection, and above this mark some senders wait for a
 * timer of the kernel, 8 ms and more, before they send the rest.
 */
const MOST_PACED = 256 * 1024;
/** Frames that begin at such a distance or a larger one, in ms, come at the rate of a camera. */
const PACED_MS = 8;
/** The rest of a message of this size is worth a wake-up of its own. Several smaller ones are received in one turn. */
const LEAST = 128 * 1024;

/** The mark of one socket. Disposing it restores the socket's own, for code that reads it afterwards. */
export class LowWater implements Disposable {
  readonly #socket: Fd;
  #mark = 1;
  #most = 1;
  #beganMs = Number.NaN;

  private constructor(socket: Fd) {
    this.#socket = socket;
  }

  /** Undefined for sockets other than TCP. Throws PeerGone. */
  static of(socket: Fd): LowWater | undefined {
    return onPeer(() => isTcp(socket)) ? new LowWater(socket) : undefined;
  }

  /** A frame has begun, at `nowMs`. The first one is received as it comes, because TCP only learns then how fast it may send. */
  begins(nowMs: number): void {
    const distanceMs = nowMs - this.#beganMs;
    if (distanceMs < PACED_MS) this.#most = MOST;
    else if (distanceMs >= PACED_MS) this.#most = MOST_PACED;
    this.#beganMs = nowMs;
  }

  /** Whether it is better to wait until all of `bytes` have arrived, and to receive them with one call. */
  collects(bytes: number): boolean {
    return bytes >= LEAST && bytes <= this.#most;
  }

  /**
   * Call before waiting, with the bytes that are certain to come: those of a message that has begun. The mark is never higher,
   * or the end of the message would be reported with the next one. It is changed only if it is too high or less than half of
   * what it can be. Throws PeerGone.
   */
  expect(bytes: number): void {
    const most = Math.max(1, Math.min(bytes, this.#most));
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

// How long the handles of a stream are. The C programs exist in two revisions with the same protocol version: 16,040 bytes with
// room for 4000 references, 2,088 with room for 512. What follows the first 2,088 bytes tells: the next message, or references.
import { ProtocolError } from "../../errors.ts";
import { FRAME_MAGIC, HANDLE_MAGIC, hex } from "../hello.ts";
import { type HandleMessage, handleMessage, mayBeOld, OLD_HANDLE_BYTES } from "./messages.ts";

const MAGIC_BYTES = 4;
const nothing = new Uint8Array(new ArrayBuffer(0));

export class HandleLength {
  #bytes: number | undefined;

  /** How many bytes of a handle to receive, of which there are `got`. */
  wanted(got: number): number {
    return (
      this.#bytes ?? (got < OLD_HANDLE_BYTES ? OLD_HANDLE_BYTES : OLD_HANDLE_BYTES + MAGIC_BYTES)
    );
  }

  /** Whether the `got` bytes are a whole handle of the older revision, or a part of one of the newer. */
  undecidedAt(got: number): boolean {
    return this.#bytes === undefined && got === OLD_HANDLE_BYTES;
  }

  /**
   * Call when `got` bytes of `handle` have come, as many as were wanted. Returns the bytes of the next message that came
   * with a complete handle, or undefined while it is incomplete. `last`: a frame follows, not a handle. Throws ProtocolError.
   */
  decide(handle: HandleMessage, got: number, last: boolean): Uint8Array<ArrayBuffer> | undefined {
    if (this.#bytes !== undefined) return got === this.#bytes ? nothing : undefined;
    if (handle.magic !== HANDLE_MAGIC) {
      const hint =
        handle.magic === FRAME_MAGIC
          ? "; this stream is from sender: use receiver, or send with sender_zc"
          : "";
      throw new ProtocolError(
        `handle: magic is ${hex(handle.magic)}, must be ${hex(HANDLE_MAGIC)}${hint}`,
      );
    }
    if (!mayBeOld(handle)) this.#bytes = handleMessage.size;
    if (this.#bytes !== undefined || got === OLD_HANDLE_BYTES) return undefined;
    const next = handle.$bytes.slice(OLD_HANDLE_BYTES, OLD_HANDLE_BYTES + MAGIC_BYTES);
    const magic = new DataView(next.buffer).getUint32(0);
    this.#bytes =
      magic === (last ? FRAME_MAGIC : HANDLE_MAGIC) ? OLD_HANDLE_BYTES : handleMessage.size;
    if (this.#bytes !== OLD_HANDLE_BYTES) return undefined;
    handle.$bytes.fill(0, OLD_HANDLE_BYTES);
    return next;
  }
}

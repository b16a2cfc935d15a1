// The STREAM_DRAIN of a stream: held until the codec has returned all pictures and the driver has got an empty buffer with EOS.
import type { Request } from "../virtio/virtio-device.ts";
import { answerCode } from "./replies.ts";

export class Drain {
  #request: Request | undefined;
  /** The codec has returned all pictures; only the EOS buffer is missing. */
  #drained = false;

  /** The command has not been answered. */
  get held(): boolean {
    return this.#request !== undefined;
  }
  /** The codec has still to return pictures. */
  get pending(): boolean {
    return this.held && !this.#drained;
  }
  /** Only the EOS buffer is missing. */
  get due(): boolean {
    return this.held && this.#drained;
  }

  begin(request: Request): void {
    this.#request = request;
  }

  /** The codec has returned all pictures. */
  drained(): void {
    this.#drained = true;
  }

  /** Ends it: answers the command with `code` if it is held. */
  end(stream: number, code: number): void {
    const request = this.#request;
    this.#request = undefined;
    this.#drained = false;
    if (request !== undefined) answerCode(request, stream, code);
  }
}

// A change of the parameters of the picture queue: when the driver has read them, and when pictures and the EOS buffer that
// ends the old ones may follow. docs/virtio-video.md, "What drivers rely on".

export class ParameterChange {
  /** The driver must read the new parameters before its picture buffers are used. */
  #unread = false;
  /** The driver has the event and has not sent GET_PARAMS yet: an EOS buffer now would stall it. */
  #unanswered = false;
  /** After a change in mid-stream: old picture buffers are not used until the driver takes them back. */
  #oldBuffers = false;
  /** An EOS buffer must follow the last picture of the old size. */
  #eos = false;

  /** The parameters have changed. `midStream`: pictures with the old ones were decoded. */
  begin(midStream: boolean): void {
    this.#unread = true;
    if (!midStream) return;
    this.#oldBuffers = true;
    this.#eos = true;
  }

  /** The driver has the event. */
  eventSent(): void {
    this.#unanswered = true;
  }

  /** The driver has read the parameters. False when it did not have to. */
  read(): boolean {
    const awaited = this.#unread || this.#unanswered;
    this.#unread = false;
    this.#unanswered = false;
    return awaited;
  }

  /** The driver has taken the old picture buffers back. */
  oldBuffersGone(): void {
    this.#oldBuffers = false;
    this.#eos = false;
  }

  /** Whether picture buffers must not be used now. */
  get holdsPictures(): boolean {
    return this.#unread || this.#oldBuffers;
  }

  /** Whether the EOS buffer of a drain must wait. */
  get holdsEos(): boolean {
    return this.#unanswered;
  }

  /** Whether the EOS buffer that ends the old pictures may be sent now. */
  get eosDue(): boolean {
    return this.#eos && !this.#unread && !this.#unanswered;
  }

  eosSent(): void {
    this.#eos = false;
  }
}

// A header of the bitstream and what it does to the parameters of the picture queue: whether the driver gets an event, when it
// has read the parameters, and when pictures and the EOS buffer that ends the old ones may follow. All codecs use this.
// docs/virtio-video.md, "What drivers rely on".

/** A header that was read. */
export interface Header {
  /** The parameters are not what they were. */
  readonly changed: boolean;
  /** Pictures with the old parameters were decoded. */
  readonly midStream: boolean;
  /** Picture buffers are queued. */
  readonly waiting: boolean;
}

export class ParameterChange {
  /** The driver must read the new parameters before its picture buffers are used. */
  #unread = false;
  /** The driver has the event and has not sent GET_PARAMS yet: an EOS buffer now would stall it. */
  #unanswered = false;
  /** The unread parameters differ from the old ones. */
  #differs = false;
  /** Picture buffers were queued for the old parameters: none is used until the driver takes them back. */
  #oldBuffers = false;
  /** An EOS buffer must follow the last picture of the old size. */
  #eos = false;

  /**
   * A header was read. False when the driver needs no event: nothing has changed, and it has queued buffers or knows the
   * parameters of the stream. With an event it would clear these buffers, and pictures in them would be lost. A driver that has
   * queued none may wait for the event of the first header before it makes buffers.
   */
  begin({ changed, midStream, waiting }: Header): boolean {
    if (!changed && (midStream || waiting)) return false;
    this.#unread = true;
    this.#differs = changed;
    if (changed && (midStream || waiting)) this.#oldBuffers = true;
    if (midStream) this.#eos = true;
    return true;
  }

  /** The driver has queued a picture buffer. Before it has read other parameters, that is one for the old ones. */
  bufferQueued(): void {
    if (this.#unread && this.#differs) this.#oldBuffers = true;
  }

  /** The driver has the event. */
  eventSent(): void {
    this.#unanswered = true;
  }

  /** The driver has read the parameters. False when it did not have to. */
  read(): boolean {
    const awaited = this.#unread || this.#unanswered;
    this.#unread = false;
    this.#differs = false;
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

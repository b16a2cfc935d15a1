// Decodes a clip through a virtio-video device, with commands in the order the Linux driver sends them for v4l2-ctl.
// Answers take effect when `step` is called, so a device may answer during a request or much later.
import { writeSync } from "node:fs";
import * as s from "../../src/video/structs.ts";
import { type Driver, paramsOf, type Sent } from "./video-driver.ts";

export interface ClipOptions {
  readonly clip: Uint8Array;
  /** Its coded format in virtio-video; FWHT without it. */
  readonly coded?: number;
  /** Where its frames end; needed for `chunk: "frame"` of another format than FWHT. */
  readonly ends?: readonly number[];
  /** Takes the bytes of a picture, in as many parts as the buffer has pieces. `last`: the picture is complete. */
  readonly onPicture?: (part: Uint8Array<ArrayBuffer>, last: boolean) => void;
  /** Where pictures are written to. */
  readonly out?: number | undefined;
  /** virtio-video number of the picture format. */
  readonly format: number;
  /** The size that the driver asks for; bitstream buffers must have room for a frame of it. */
  readonly width: number;
  readonly height: number;
  /** How a bitstream buffer is filled: as much as fits, one frame, or so many bytes. */
  readonly chunk: "buffer" | "frame" | number;
  /** Entries each resource is made of. */
  readonly pieces: number;
  /** Bytes of a page before each entry; 0 by default. */
  readonly skew?: number;
  /**
   * How the stream ends: without a command, by a drain, by a drain before the clip is played again; "seek": QUEUE_CLEAR in
   * the middle, then the whole clip.
   */
  readonly mode: "plain" | "drain" | "resume" | "seek";
  /** Bitstream and picture buffers beyond the minimum. */
  readonly inputs?: number;
  /** Picture buffers are made and queued before the first bitstream, as GStreamer does, not after the event. */
  readonly early?: boolean;
  /** With `early`: the first event is answered by QUEUE_CLEAR and new picture buffers, or only by GET_PARAMS. */
  readonly reacts?: boolean;
  readonly spare?: number;
}

/** A resource, in pieces of `bytes` at `at`, and its RESOURCE_QUEUE. */
interface Buffered {
  readonly id: number;
  readonly at: readonly bigint[];
  readonly bytes: number;
  sent: Sent | undefined;
}

const FIRST_TIME = 2n ** 60n;
const INTERVAL = 33_366_667n;
const FWHT = 0x1006;
const FWHT_HEADER = 44;
/** After so many pictures the stream is set up. */
export const SETTLED = 5;

/** The time stamp of the bitstream buffer with that number: more than 53 bits, and no whole microseconds. */
export function timeOf(buffer: number): bigint {
  return FIRST_TIME + BigInt(buffer) * INTERVAL;
}

/** Where the frames of a clip end. */
export function frameEnds(clip: Uint8Array): number[] {
  const view = new DataView(clip.buffer, clip.byteOffset, clip.byteLength);
  const ends: number[] = [];
  for (let at = 0; at + FWHT_HEADER <= clip.length; ) {
    at += FWHT_HEADER + view.getUint32(at + 40);
    ends.push(at);
  }
  return ends;
}

export class ClipPlayer {
  readonly stream: number;
  readonly #driver: Driver;
  readonly #options: ClipOptions;
  #cuts: readonly number[] = [];
  #next = 0;
  #rounds: number;
  #inputs: Buffered[] = [];
  #outputs: Buffered[] = [];
  #ids = 1;
  #planeSize = 0;
  #minOutputs = 0;
  #drain: Sent | undefined;
  /** The size has changed, and the EOS buffer that ends the old pictures has not arrived yet. */
  #changing = false;
  /** A sequence of commands that must be answered before anything else is sent. */
  #busy: Generator<readonly Sent[], void> | undefined;
  #awaited: readonly Sent[] = [];
  frames = 0;
  errors = 0;
  eos = 0;
  changes = 0;
  /** Timestamps of the pictures, where each bitstream buffer is one. */
  readonly times: bigint[] = [];
  firstMs = 0;
  /** When the picture with that number arrived. */
  settledMs = 0;
  lastMs = 0;
  #closing = false;
  done = false;

  constructor(driver: Driver, stream: number, options: ClipOptions) {
    this.stream = stream;
    this.#driver = driver;
    this.#options = options;
    this.#rounds = options.mode === "resume" || options.mode === "seek" ? 2 : 1;
    this.#busy = this.#open();
  }

  /** The stream ends without a command: it is over when no more pictures arrive. */
  get endsByItself(): boolean {
    return this.#options.mode === "plain" && !this.#closing;
  }

  /** Its state, for messages. */
  toString(): string {
    const held = (of: readonly Buffered[]) => of.filter(({ sent }) => sent?.held === true).length;
    const drain = this.#drain === undefined ? "no" : this.#drain.held ? "a held" : "an answered";
    return `${this.frames} frames, ${this.#next} of ${this.#cuts.length} buffers fed, ${held(this.#inputs)} inputs and ${held(this.#outputs)} outputs held, ${drain} drain, ${this.changes} events, ${this.#awaited.length} awaited`;
  }

  /** Does what can be done now; true when it did something. */
  step(): boolean {
    if (this.done) return false;
    if (this.#busy !== undefined) return this.#goOn(this.#busy);
    let busy = this.#heard();
    for (const input of this.#inputs) {
      if (this.#busy !== undefined) return true;
      if (input.sent?.held === true) continue;
      if (input.sent !== undefined && (input.sent.flags & s.BUFFER_ERR) !== 0) this.errors++;
      input.sent = undefined;
      busy = this.#feed(input) || busy;
    }
    for (;;) {
      const output = this.#oldest();
      if (output?.sent === undefined || this.#busy !== undefined) return busy;
      const { sent } = output;
      output.sent = undefined;
      this.#took(output, sent);
      busy = true;
    }
  }

  /** The picture buffer that came back first. */
  #oldest(): Buffered | undefined {
    let oldest: Buffered | undefined;
    for (const output of this.#outputs) {
      if (output.sent === undefined || output.sent.held) continue;
      if (output.sent.order < (oldest?.sent?.order ?? Number.POSITIVE_INFINITY)) oldest = output;
    }
    return oldest;
  }

  #goOn(work: Generator<readonly Sent[], void>): boolean {
    if (this.#awaited.some(({ held }) => held)) return false;
    const { done, value } = work.next();
    this.#awaited = value ?? [];
    if (done === true) this.#busy = undefined;
    return true;
  }

  *#open(): Generator<readonly Sent[], void> {
    const { width, height, format, chunk, clip, inputs = 4, coded = FWHT } = this.#options;
    const driver = this.#driver;
    const planeBytes = typeof chunk === "number" ? chunk : 0;
    driver.create(this.stream, { format: coded });
    driver.setParams(this.stream, s.OUTPUT, { format, width, height });
    driver.setParams(this.stream, s.INPUT, { format: coded, width, height, planeBytes });
    const sent = driver.getParams(this.stream, s.INPUT);
    yield [sent];
    const bytes = paramsOf(sent)["plane_formats[0].plane_size"];
    this.#cuts =
      chunk === "frame"
        ? (this.#options.ends ?? frameEnds(clip))
        : this.#even(chunk === "buffer" ? bytes : chunk);
    const made = this.#make(s.INPUT, inputs, bytes);
    this.#inputs = made.buffers;
    yield made.sent;
    checkMade(made.sent);
    if (this.#options.early === true) {
      yield* this.#readSizes();
      yield* this.#makeOutputs();
    }
    this.firstMs = performance.now();
  }

  #even(chunk: number): number[] {
    const { length } = this.#options.clip;
    return Array.from({ length: Math.ceil(length / chunk) }, (_, i) =>
      Math.min((i + 1) * chunk, length),
    );
  }

  #make(queue: number, count: number, bytes: number): { buffers: Buffered[]; sent: Sent[] } {
    const { pieces, skew = 0 } = this.#options;
    const length = Math.ceil(bytes / pieces / 4096) * 4096;
    const sent: Sent[] = [];
    const buffers = Array.from({ length: count }, () => {
      const id = this.#ids++;
      const at: bigint[] = [];
      for (let i = 0; i < pieces; i++) {
        at.push(this.#driver.allocate(length + skew) + BigInt(skew));
        if (pieces > 1) this.#driver.allocate(1); // a gap
      }
      at.reverse(); // not in address order
      const entries = at.map((address) => ({ address, length }));
      sent.push(this.#driver.resource(this.stream, queue, id, [entries]));
      return { id, at, bytes: length, sent: undefined };
    });
    return { buffers, sent };
  }

  /** Events. */
  #heard(): boolean {
    const mine = this.#driver.eventList.filter(([, stream]) => stream === this.stream);
    if (mine.some(([type]) => type === s.EVENT_ERROR)) throw new Error("the stream has failed");
    if (mine.length === this.changes) return false;
    this.changes++;
    this.#changing = this.changes > 1;
    this.#busy = this.#readParams();
    return true;
  }

  *#readParams(): Generator<readonly Sent[], void> {
    yield* this.#readSizes();
    const { early = false, reacts = false } = this.#options;
    if (this.changes !== 1 || (early && !reacts)) return;
    if (early) yield* this.#takeBack();
    yield* this.#makeOutputs();
  }

  *#readSizes(): Generator<readonly Sent[], void> {
    const input = this.#driver.getParams(this.stream, s.INPUT);
    const output = this.#driver.getParams(this.stream, s.OUTPUT);
    yield [input, output];
    const params = paramsOf(output);
    this.#planeSize = params["plane_formats[0].plane_size"];
    this.#minOutputs = params.min_buffers;
  }

  /** Takes the picture buffers back and destroys them. */
  *#takeBack(): Generator<readonly Sent[], void> {
    yield [
      this.#driver.clear(this.stream, s.OUTPUT),
      this.#driver.destroyAll(this.stream, s.OUTPUT),
    ];
  }

  *#makeOutputs(): Generator<readonly Sent[], void> {
    const count = this.#minOutputs + (this.#options.spare ?? 1);
    const made = this.#make(s.OUTPUT, count, this.#planeSize);
    this.#outputs = made.buffers;
    yield made.sent;
    checkMade(made.sent);
    for (const output of made.buffers) this.#queue(output);
  }

  #queue(output: Buffered): void {
    output.sent = this.#driver.queue(this.stream, s.OUTPUT, output.id);
  }

  #feed(input: Buffered): boolean {
    if (this.#drain !== undefined) return false;
    const { mode, clip } = this.#options;
    const middle = Math.floor(this.#cuts.length / 2);
    if (mode === "seek" && this.#rounds === 2 && this.frames > 2 && this.#next >= middle) {
      this.#busy = this.#seek();
      return true;
    }
    const to = this.#cuts[this.#next];
    if (to === undefined) {
      if (mode !== "plain" && (mode !== "seek" || this.#rounds === 1)) {
        this.#drain = this.#driver.drain(this.stream);
        return true;
      }
      return false;
    }
    const from = this.#cuts[this.#next - 1] ?? 0;
    this.#fill(input, clip.subarray(from, to));
    const size = to - from;
    input.sent = this.#driver.queue(this.stream, s.INPUT, input.id, [size], timeOf(this.#next));
    this.#next++;
    return true;
  }

  /** QUEUE_CLEAR of both queues, then the whole clip from the beginning. */
  *#seek(): Generator<readonly Sent[], void> {
    this.#rounds--;
    yield [this.#driver.clear(this.stream, s.OUTPUT), this.#driver.clear(this.stream, s.INPUT)];
    const held = [...this.#inputs, ...this.#outputs].some(({ sent }) => sent?.held === true);
    if (held) throw new Error("QUEUE_CLEAR was answered before what it gives back");
    this.#next = 0;
    this.frames = 0;
    this.times.length = 0;
    for (const input of this.#inputs) input.sent = undefined;
    for (const output of this.#outputs) this.#queue(output);
  }

  #fill(input: Buffered, bytes: Uint8Array): void {
    let at = 0;
    for (const address of input.at) {
      const n = Math.min(input.bytes, bytes.length - at);
      if (n <= 0) return;
      this.#driver.memory.bytes(address, n).set(bytes.subarray(at, at + n));
      at += n;
    }
  }

  #took(output: Buffered, sent: Sent): void {
    const { flags } = sent;
    if ((flags & s.BUFFER_EOS) !== 0) {
      this.eos++;
      if (sent.size !== 0) throw new Error(`an EOS buffer of ${sent.size} bytes`);
      this.#busy = this.#changing ? this.#change() : this.#drained();
      return;
    }
    if ((flags & s.BUFFER_ERR) !== 0) this.errors++;
    else {
      this.frames++;
      this.lastMs = performance.now();
      if (this.frames === SETTLED) this.settledMs = this.lastMs;
      if (this.#options.chunk === "frame") this.times.push(sent.timestamp);
      this.#write(output, sent.size);
    }
    this.#queue(output);
  }

  #write(output: Buffered, size: number): void {
    const { out, onPicture } = this.#options;
    if (out === undefined && onPicture === undefined) return;
    let rest = Math.min(size, this.#planeSize);
    for (const address of output.at) {
      const n = Math.min(rest, output.bytes);
      if (n <= 0) return;
      rest -= n;
      const part = this.#driver.memory.bytes(address, n);
      if (out !== undefined) writeSync(out, part);
      onPicture?.(part, rest === 0);
    }
  }

  /** All old pictures of a stream that changed have arrived. */
  *#change(): Generator<readonly Sent[], void> {
    this.#changing = false;
    yield* this.#takeBack();
    yield* this.#makeOutputs();
  }

  *#drained(): Generator<readonly Sent[], void> {
    const drain = this.#drain;
    if (drain === undefined) throw new Error("EOS without a drain");
    yield [drain];
    if (drain.code !== 0x200)
      throw new Error(`the drain was answered 0x${drain.code.toString(16)}`);
    this.#drain = undefined;
    this.#rounds--;
    if (this.#rounds === 0) {
      yield* this.#close();
      return;
    }
    this.#next = 0;
    for (const output of this.#outputs) if (output.sent === undefined) this.#queue(output);
  }

  /** Takes the picture buffers back, as a program does that reacts late to an event, and makes new ones. */
  renewOutputs(): void {
    this.#busy = this.#change();
  }

  /** Ends a stream from which no more pictures arrive. */
  finish(): void {
    this.#busy = this.#close();
  }

  *#close(): Generator<readonly Sent[], void> {
    const { stream } = this;
    this.#closing = true;
    yield [this.#driver.clear(stream, s.OUTPUT), this.#driver.clear(stream, s.INPUT)];
    yield [this.#driver.destroy(stream)];
    this.done = true;
  }
}

function checkMade(made: readonly Sent[]): void {
  for (const { code } of made)
    if (code !== 0x200) throw new Error(`RESOURCE_CREATE was answered 0x${code.toString(16)}`);
}

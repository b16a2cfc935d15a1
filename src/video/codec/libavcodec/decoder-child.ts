// The process of a decoder: takes bitstream out of shared memory and puts pictures there, as the messages of the daemon say. Its
// thread blocks in calls of the library, and in recv when there is nothing to do or no slot for the next picture.

import type { AvFrame } from "../../../../ffi/av-frame.ts";
import { errno } from "../../../../ffi/errno.ts";
import { Fd } from "../../../../ffi/fd.ts";
import { loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { type PicturePlaces, SPARE_BYTES } from "../../../../ffi/picture-writer.ts";
import { dieOfMemoryFaults, dieWithParent } from "../../../../ffi/process.ts";
import { loadSwscale } from "../../../../ffi/swscale.ts";
import { startedAgainBy } from "../../../cli/own-program.ts";
import { NV12 } from "../../formats.ts";
import { Channel, type DecoderRecord, isOverwritten } from "./channel.ts";
import { softwareCodecs } from "./codecs.ts";
import { Decoder, type PictureSink } from "./decoder.ts";
import { enterFence } from "./fence.ts";
import { DAEMON, inherited, messages } from "./messages.ts";
import { PassedMemory } from "./passed-memory.ts";
import { PictureFrames } from "./picture-frames.ts";
import { type Work, WorkQueue } from "./work-queue.ts";

/** Messages or slots that are left when what was done is sent, so that the daemon brings more before they are used. */
const LOW = 2;
/** How long after an input was taken its picture may wait for the next ones. */
const MOST_HELD_MS = 2;
/** The type of a message that a flush has dropped. */
const DROPPED = 0;

/**
 * Decodes for the daemon that started this process, until the daemon closes the connection. False when no daemon has started it
 * for that. Throws UsageError when a user has set its variable.
 */
export function decodeForDaemon(): boolean {
  const { socket: connection, bitstream, pictures } = inherited;
  const passed = { sockets: [connection], memory: [bitstream, pictures] };
  const daemon = startedAgainBy(DAEMON, passed);
  if (daemon === undefined) return false;
  dieOfMemoryFaults();
  dieWithParent();
  if (String(process.ppid) !== daemon) return true; // it ended before prctl: no signal will come
  const socket = new Fd(connection, "daemon");
  socket.setNonBlocking(false);
  using channel = new Channel(socket);
  try {
    using child = new DecoderChild(channel);
    child.run();
  } catch (error) {
    channel.post(messages.failed.type);
    channel.asFailure.reason = (error as Error).message;
    channel.flushBlocking();
  }
  return true;
}

class DecoderChild implements PictureSink, Disposable {
  readonly #channel: Channel;
  readonly #owned: DisposableStack;
  readonly #memory: PassedMemory;
  readonly #frames: PictureFrames;
  /** The picture that is to be announced is in a frame. */
  #inFrame = false;
  #decoder: Decoder | undefined;
  readonly #work = new WorkQueue();
  /** Slots that a picture may be written to, and their format. */
  readonly #granted: number[] = [];
  #format: number = NV12;
  /** The format that the decoder writes. */
  #written: number = NV12;
  /** Messages `changed` that were sent. */
  #epoch = 0;
  #flushDue = false;
  /** A drain was begun and has not been answered. */
  #draining = false;
  /** `run` of the decoder has to be called again. */
  #running = false;
  #closed = false;
  /** When the oldest input was taken whose answer was not sent; 0: there is none. */
  #heldMs = 0;

  /** Maps the memory, loads the libraries and enters the fence. Throws SysError, LibraryError. */
  constructor(channel: Channel) {
    using owned = new DisposableStack();
    this.#channel = channel;
    this.#memory = owned.use(new PassedMemory());
    loadSwscale();
    this.#frames = owned.use(new PictureFrames(loadAvcodec(), this.#memory.frames));
    enterFence(); // before the first byte of the guest is read
    this.#owned = owned.move();
  }

  /** Works until the daemon closes the connection. Throws CallError when a decoder cannot be opened. */
  run(): void {
    while (!this.#closed) {
      this.#hear(!this.#canWork);
      this.#flushIfDue();
      if (this.#running) this.#goOn();
      else this.#next();
    }
  }

  get #canWork(): boolean {
    if (this.#running) return this.#granted.length > 0;
    return this.#work.count > 0;
  }

  // Messages of the daemon.

  /** Takes the messages that are there; with `wait`, waits for the first. */
  #hear(wait: boolean): void {
    for (let block = wait; ; block = false) {
      if (block) this.#send();
      if (this.#closed) return;
      const records = block ? this.#channel.receiveBlocking() : this.#channel.receive();
      if (records === -errno.EAGAIN || isOverwritten(records)) return; // the next call waits again
      if (records <= 0) {
        this.#closed = true;
        return;
      }
      for (let i = 0; i < records; i++) {
        const message = this.#channel.received[i];
        if (message !== undefined) this.#take(message);
      }
    }
  }

  #take(message: DecoderRecord): void {
    const { type } = message;
    if (type === messages.grant.type) {
      this.#frames.granted(message.slot);
      if (message.epoch !== this.#epoch) return;
      this.#granted.push(message.slot);
      this.#format = message.format;
    } else if (type === messages.flush.type) {
      this.#dropWork();
      if (this.#draining) this.#answerDrain(); // in the generation in which it was asked for
      this.#channel.generation = message.generation;
      this.#flushDue = true;
    } else this.#work.add(message);
  }

  /** Drops bitstream and drains that wait, and answers them; what opens a decoder stays. */
  #dropWork(): void {
    for (let i = 0; i < this.#work.count; i++) {
      const work = this.#work.at(i);
      if (work.type === messages.open.type) continue;
      if (work.type === messages.input.type) this.#answerInput(work.slot);
      if (work.type === messages.drain.type) this.#answerDrain();
      work.type = DROPPED;
    }
  }

  #answerInput(slot: number): void {
    this.#channel.post(messages.inputDone.type).slot = slot;
    if (this.#heldMs === 0) this.#heldMs = performance.now();
  }

  #answerDrain(): void {
    this.#draining = false;
    this.#channel.post(messages.drained.type);
  }

  // What is done.

  /** Begins the work that waits. */
  #next(): void {
    if (this.#work.count === 0) return;
    const work = this.#work.shift();
    const decoder = this.#decoder;
    if (work.type === messages.open.type) this.#open(work);
    else if (work.type === messages.input.type) {
      decoder?.take(this.#memory.bitstreamAt(work.slot), work.length, work.key);
      this.#answerInput(work.slot);
      this.#goOn();
      this.#sendIfLow();
    } else if (work.type === messages.drain.type) {
      decoder?.drain();
      this.#draining = true;
      this.#goOn();
    }
  }

  #open({ format, threads, maxPixels }: Work): void {
    this.#decoder?.[Symbol.dispose]();
    this.#decoder = undefined;
    const codec = softwareCodecs.find((row) => row.format === format);
    if (codec === undefined) throw new Error(`format ${format} is unknown`);
    this.#written = this.#format;
    const { memory } = this.#frames;
    const options = { threads, maxPixels, output: this.#written, memory };
    this.#decoder = new Decoder(loadAvcodec(), codec, options, this);
    this.#channel.post(messages.ready.type);
    this.#send();
  }

  /** Decodes until there is nothing to do, no slot for the next picture, or a flush. */
  #goOn(): void {
    const decoder = this.#decoder;
    if (decoder === undefined) return;
    if (this.#written !== this.#format) {
      this.#written = this.#format;
      decoder.setOutput(this.#format);
    }
    this.#running = !decoder.run();
    if (this.#running || !this.#draining) return;
    this.#answerDrain();
    this.#send();
  }

  #flushIfDue(): void {
    if (!this.#flushDue) return;
    this.#flushDue = false;
    this.#running = false;
    this.#decoder?.flush();
  }

  #send(): void {
    this.#heldMs = 0;
    let sent = this.#channel.flushBlocking();
    while (isOverwritten(sent)) sent = this.#channel.flushBlocking();
    if (sent < 0) this.#closed = true;
  }

  /**
   * Sends what was done when there is little left to do or to write to, or after some time. Until then several messages wait for
   * each other, so that the daemon is woken less often.
   */
  #sendIfLow(): void {
    if (!this.#channel.waiting) return;
    const low = Math.min(this.#work.count, this.#granted.length) <= LOW;
    if (low || performance.now() - this.#heldMs > MOST_HELD_MS) this.#send();
  }

  // What the decoder calls.

  changed(width: number, height: number): void {
    this.#granted.length = 0;
    this.#epoch += 1;
    const message = this.#channel.post(messages.changed.type);
    message.width = width;
    message.height = height;
    this.#send();
  }

  place(bytes: number): number {
    if (this.#granted.length === 0) this.#hear(false);
    const slot = this.#granted[0];
    // A flush or another format is passed to the decoder after `run` has returned.
    const stop = this.#flushDue || this.#closed || this.#format !== this.#written;
    if (slot === undefined || stop || bytes + SPARE_BYTES > this.#memory.pictureBytes) return 0;
    return this.#memory.pictureAt(slot);
  }

  takes(picture: AvFrame, places: PicturePlaces): boolean {
    this.#inFrame = this.#frames.find(picture, places);
    return this.#inFrame;
  }

  picture(key: number): void {
    const message = this.#channel.post(messages.picture.type);
    message.slot = this.#granted.shift() ?? 0;
    message.key = key;
    if (this.#inFrame) this.#frames.announce(message);
    this.#sendIfLow();
  }

  failed(): void {} // what is damaged is left out; the decoder goes on

  progress(): void {
    this.#memory.progress();
  }

  [Symbol.dispose](): void {
    this.#decoder?.[Symbol.dispose]();
    this.#owned.dispose();
  }
}

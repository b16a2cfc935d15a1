// Runs in a guest of the lab, compiled: decodes FWHT clips on a real V4L2 decoder through the virtio-video device, with
// commands in the order the Linux driver sends them for v4l2-ctl. Prints one JSON object a stream.
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { EPOLLIN, Signal } from "../../../ffi/epoll.ts";
import { openV4l2Decoder } from "../../../src/video/codec/v4l2-decoder.ts";
import * as s from "../../../src/video/structs.ts";
import { Driver, type Sent } from "../../support/video-driver.ts";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "/dev/video0" },
    /** One for each stream; they run at the same time. */
    clip: { type: "string", multiple: true, default: [] },
    out: { type: "string", multiple: true, default: [] },
    /** virtio-video number of the picture format. */
    format: { type: "string", default: "4" },
    /** Bytes of bitstream a buffer is filled with; "frame" is one frame. */
    chunk: { type: "string", default: "buffer" },
    /** Entries each resource is made of. */
    pieces: { type: "string", default: "1" },
    /** "plain", "drain", "resume": drain and play it all again, "seek": clear in the middle and play it all. */
    mode: { type: "string", default: "plain" },
    width: { type: "string", default: "640" },
    height: { type: "string", default: "480" },
  },
});
const INPUTS = 4;
const ERR = s.BUFFER_ERR;
const EOS = s.BUFFER_EOS;

/** Ends of the frames of a clip. */
function frameEnds(clip: Uint8Array): number[] {
  const view = new DataView(clip.buffer, clip.byteOffset);
  const ends: number[] = [];
  for (let at = 0; at + 44 <= clip.length; ) {
    at += 44 + view.getUint32(at + 40);
    ends.push(at);
  }
  return ends;
}

/** A resource, in pieces of `bytes` at `at`, and its RESOURCE_QUEUE. */
interface Buffered {
  readonly id: number;
  readonly at: readonly bigint[];
  readonly bytes: number;
  sent?: Sent;
}

class Player {
  readonly stream: number;
  readonly #driver: Driver;
  readonly #clip: Uint8Array;
  readonly #out: number | undefined;
  readonly #pieces = Number(values.pieces);
  readonly #cuts: number[];
  #next = 0;
  #rounds: number;
  #inputs: Buffered[] = [];
  #outputs: Buffered[] = [];
  #ids = 1;
  #planeSize = 0;
  #drain: Sent | undefined;
  frames = 0;
  errors = 0;
  eos = 0;
  changes = 0;
  times: string[] = [];
  startedMs = 0;
  lastMs = 0;
  done = false;

  constructor(driver: Driver, stream: number, clip: string, out: string | undefined) {
    this.stream = stream;
    this.#driver = driver;
    this.#clip = readFileSync(clip);
    this.#out = out === undefined ? undefined : openSync(out, "w");
    driver.create(stream);
    const size = { width: Number(values.width), height: Number(values.height) };
    driver.setParams(stream, s.OUTPUT, { format: Number(values.format), ...size });
    driver.setParams(stream, s.INPUT, { format: 0x1006, ...size });
    const bytes = driver.params(stream, s.INPUT)["plane_formats[0].plane_size"];
    for (let i = 0; i < INPUTS; i++) this.#inputs.push(this.#resource(s.INPUT, bytes));
    this.#cuts =
      values.chunk === "frame"
        ? frameEnds(this.#clip)
        : this.#even(values.chunk === "buffer" ? bytes : Number(values.chunk));
    this.#rounds = values.mode === "resume" || values.mode === "seek" ? 2 : 1;
    this.startedMs = performance.now();
  }

  #even(chunk: number): number[] {
    const count = Math.ceil(this.#clip.length / chunk);
    return Array.from({ length: count }, (_, i) => Math.min((i + 1) * chunk, this.#clip.length));
  }

  #resource(queue: number, bytes: number): Buffered {
    const id = this.#ids++;
    const length = Math.ceil(bytes / this.#pieces / 4096) * 4096;
    const at: bigint[] = [];
    for (let i = 0; i < this.#pieces; i++) {
      at.push(this.#driver.allocate(length));
      if (this.#pieces > 1) this.#driver.allocate(1); // a gap
    }
    at.reverse(); // not in address order
    const sent = this.#driver.resource(this.stream, queue, id, [
      at.map((address) => ({ address, length })),
    ]);
    if (sent.code !== 0x200) throw new Error(`RESOURCE_CREATE 0x${sent.code.toString(16)}`);
    return { id, at, bytes: length };
  }

  /** Does what can be done now; true when something was. */
  step(): boolean {
    if (this.done) return false;
    let busy = false;
    const events = this.#driver.eventList.filter(([, stream]) => stream === this.stream);
    if (events.some(([type]) => type === s.EVENT_ERROR)) throw new Error("EVENT_ERROR");
    if (events.length > this.changes) {
      this.changes = events.length;
      this.#driver.params(this.stream, s.INPUT);
      const params = this.#driver.params(this.stream, s.OUTPUT);
      this.#planeSize = params["plane_formats[0].plane_size"];
      if (this.changes === 1) this.#makeOutputs(params.min_buffers + 1);
      busy = true;
    }
    for (const input of this.#inputs) {
      if (input.sent?.held) continue;
      if (input.sent !== undefined && (input.sent.flags & ERR) !== 0) this.errors++;
      delete input.sent;
      busy = this.#feed(input) || busy;
    }
    for (const output of [...this.#outputs]) {
      if (output.sent?.held !== false) continue;
      busy = true;
      this.#took(output, output.sent);
      if (this.done) return true;
    }
    return busy;
  }

  #makeOutputs(count: number): void {
    for (let i = 0; i < count; i++) {
      const output = this.#resource(s.OUTPUT, this.#planeSize);
      this.#outputs.push(output);
      this.#queue(output);
    }
  }

  #queue(output: Buffered): void {
    output.sent = this.#driver.queue(this.stream, s.OUTPUT, output.id);
  }

  #feed(input: Buffered): boolean {
    if (this.#drain !== undefined) return false;
    const from = this.#next === 0 ? 0 : (this.#cuts[this.#next - 1] ?? 0);
    const to = this.#cuts[this.#next];
    const seekAt = Math.floor(this.#cuts.length / 2);
    if (values.mode === "seek" && this.#rounds === 2 && this.frames > 2 && this.#next >= seekAt) {
      this.#seek();
      return true;
    }
    if (to === undefined) {
      if (values.mode !== "plain") this.#drain = this.#driver.drain(this.stream);
      return false;
    }
    this.#put(input, this.#clip.subarray(from, to));
    const ts = 2n ** 60n + BigInt(this.#next) * 33_366_667n;
    this.#next++;
    input.sent = this.#driver.queue(this.stream, s.INPUT, input.id, [to - from], ts);
    return true;
  }

  /** QUEUE_CLEAR of both, everything again from the beginning. */
  #seek(): void {
    this.#rounds--;
    this.#driver.clear(this.stream, s.OUTPUT);
    this.#driver.clear(this.stream, s.INPUT);
    this.#next = 0;
    this.frames = 0;
    this.times = [];
    for (const input of this.#inputs) delete input.sent;
    for (const output of this.#outputs) this.#queue(output);
  }

  #put(input: Buffered, bytes: Uint8Array): void {
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
    if ((flags & EOS) !== 0) {
      this.eos++;
      if (this.#drain === undefined) this.#change();
      else this.#drained(output);
      return;
    }
    if ((flags & ERR) !== 0) this.errors++;
    else {
      this.frames++;
      this.lastMs = performance.now();
      if (values.chunk === "frame") this.times.push(String(sent.timestamp));
      let rest = Math.min(sent.size, this.#planeSize);
      for (const address of output.at) {
        const n = Math.min(rest, output.bytes);
        if (this.#out !== undefined && n > 0)
          writeSync(this.#out, this.#driver.memory.bytes(address, n));
        rest -= n;
      }
    }
    this.#queue(output);
  }

  /** The old pictures of a stream that changed are all here. */
  #change(): void {
    this.#driver.clear(this.stream, s.OUTPUT);
    this.#driver.destroyAll(this.stream, s.OUTPUT);
    this.#outputs = [];
    this.#makeOutputs(this.#driver.params(this.stream, s.OUTPUT).min_buffers + 1);
  }

  #drained(output: Buffered): void {
    if (this.#drain?.code !== 0x200) throw new Error("the drain was not answered after EOS");
    this.#drain = undefined;
    this.#rounds--;
    if (this.#rounds > 0 && values.mode === "resume") {
      this.#next = 0;
      this.#queue(output);
      return;
    }
    this.finish();
  }

  finish(): void {
    this.done = true;
    this.#driver.clear(this.stream, s.OUTPUT);
    this.#driver.clear(this.stream, s.INPUT);
    this.#driver.destroy(this.stream);
    if (this.#out !== undefined) closeSync(this.#out);
    const seconds = (this.lastMs - this.startedMs) / 1000;
    const { stream, frames, errors, eos, changes, times } = this;
    console.log(
      JSON.stringify({
        stream,
        frames,
        errors,
        eos,
        changes,
        seconds,
        fps: frames / seconds,
        times,
      }),
    );
  }
}

using backend = openV4l2Decoder(values.device);
using driver = new Driver(backend, { memoryBytes: 192 * 1024 * 1024 });
const players = values.clip.map((clip, i) => new Player(driver, i + 1, clip, values.out[i]));
const task = driver.loop.promise<void>();
// As v4l2-ctl: a stream that nothing comes of for half a second has ended.
const QUIET_MS = 500;
const quietSince = players.map(() => performance.now());
const turn = () => {
  for (const [i, player] of players.entries()) {
    while (player.step()) quietSince[i] = performance.now();
    const quiet = performance.now() - (quietSince[i] ?? 0) > QUIET_MS;
    if (!player.done && quiet && values.mode === "plain") player.finish();
    if (!player.done && performance.now() - (quietSince[i] ?? 0) > 10_000)
      throw new Error(`stream ${player.stream}: nothing in 10 s after ${player.frames} frames`);
  }
  if (players.every(({ done }) => done)) task.resolve();
};
// Answers come in the middle of the device's work; what follows from them waits for the next turn of the loop.
using signal = new Signal(true);
driver.onAnswer = () => signal.raise();
driver.keepAnswers = false;
using _answers = driver.loop.watch(signal.fd, EPOLLIN, () => {
  signal.clear();
  turn();
});
using _quiet = driver.loop.every(100, turn);
await driver.loop.run(task.promise);

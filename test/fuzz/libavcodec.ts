// Fuzzing of the libavcodec back-end: mutated bitstream through the device and the processes of the decoders.
import { softwareCodecs } from "../../src/video/codec/libavcodec/codecs.ts";
import * as s from "../../src/video/structs.ts";
import { type ClipKind, Clips, unitsOf } from "../support/clips.ts";
import type { Random } from "../support/random.ts";
import { softwareDecoder } from "../support/software-decoder.ts";
import { type LocalDriver, localDriver, type Sent } from "../support/video-driver.ts";
import { defineTarget } from "./target.ts";

const INPUTS = 16;
const INPUT_BYTES = 32 * 1024;
const OUTPUTS = 6;
/** Room for pictures up to 480x320; larger ones, which mutated headers announce, find no buffer. */
const OUTPUT_BYTES = 240 * 1024;
const MEMORY = 16 * 1024 * 1024;
/** How often a case queues a picture buffer again, and makes new ones after an event. */
const MOST_QUEUED = 100;
const MOST_RENEWED = 8;
const LIMIT_MS = 15_000;
const OK = 0x200;
const OK_RESOURCE_QUEUE = 0x202;
const EVENTS = 8;

/** One thread, so that a clip has the same bytes in every run. */
const one = ["-threads", "1"];
const encodings: Readonly<Record<string, readonly string[]>> = {
  h264: ["-c:v", "libx264", "-x264-params", "ref=3:bframes=3:keyint=12", ...one],
  hevc: ["-c:v", "libx265", "-x265-params", "log-level=none:pools=none:frame-threads=1", ...one],
  vp8: ["-c:v", "libvpx", "-g", "12", ...one],
  vp9: ["-c:v", "libvpx-vp9", "-g", "12", "-deadline", "realtime", "-cpu-used", "5", ...one],
  mpeg2video: ["-c:v", "mpeg2video", "-bf", "2", ...one],
  mpeg4: ["-c:v", "mpeg4", "-bf", "2", ...one],
};
const kinds = softwareCodecs.map(
  ({ name }): ClipKind => ({
    name: `${name} to mutate`,
    codec: name,
    encode: encodings[name] ?? [],
    size: "128x96", // decoders put such pictures into frames that the daemon reads
    frames: 40,
  }),
);

/** A change of a packet. `at` is a place in it, of 2^16. */
interface Mutation {
  readonly kind: "flip" | "set" | "zero" | "cut" | "splice";
  readonly at: number;
  readonly n: number;
}
type Step =
  | { readonly op: "codec"; readonly n: number }
  | { readonly op: "packet"; readonly unit: number; readonly mutations: readonly Mutation[] }
  /** After that, undamaged bitstream must be decoded. */
  | { readonly op: "sound" };

function mutation(random: Random): Mutation {
  const kind = random.pick(["flip", "flip", "flip", "set", "zero", "cut", "splice"] as const);
  // Headers are at the beginning, and most of what they say matters.
  const at = random.chance(2) ? random.below(0x10000) : random.below(0x800);
  return { kind, at, n: random.bits() };
}

/** Mutated bitstream: every command is answered once, a decoder that fails costs its stream only, and sound bitstream is decoded after it. */
export const damagedBitstream = defineTarget<Step>({
  name: "libavcodec",
  title: "mutated bitstream, decoded by libavcodec",
  weight: 0.15,
  timed: true,
  script(random) {
    const packets = Array.from({ length: 16 }, (_, i) => ({
      op: "packet" as const,
      unit: i === 0 || random.chance(6) ? 0 : random.below(1000),
      mutations: random.chance(4)
        ? []
        : Array.from({ length: 1 + random.below(6) }, () => mutation(random)),
    }));
    const codec = { op: "codec" as const, n: random.below(kinds.length) };
    return [codec, ...packets, ...(random.chance(4) ? [{ op: "sound" as const }] : [])];
  },
  open() {
    using owned = new DisposableStack();
    const clips = new Clips();
    const driver = owned.use(
      localDriver(owned.use(softwareDecoder()), { memoryBytes: MEMORY, eventBuffers: EVENTS }),
    );
    driver.keepAnswers = false;
    const memory = Array.from({ length: INPUTS + OUTPUTS }, (_, i) =>
      driver.allocate(i < INPUTS ? INPUT_BYTES : OUTPUT_BYTES),
    );
    const streams = kinds.map((kind, i) => {
      const clip = clips.get(kind);
      const units = unitsOf(clip).map(({ at, end }) => clip.bytes.subarray(at, end));
      return new FuzzedStream(driver, memory, {
        id: i + 1,
        format: softwareCodecs[i]?.format ?? 0,
        units,
      });
    });
    const ties = owned.move();
    return {
      async attempt(script) {
        const stream = streams[script.find((step) => step.op === "codec")?.n ?? 0];
        if (stream === undefined) throw new Error("no such codec");
        const packets = script.filter((step) => step.op === "packet");
        await stream.feed(packets.map(({ unit, mutations }) => stream.packet(unit, mutations)));
        if (script.some((step) => step.op === "sound")) await stream.decodesSound();
      },
      [Symbol.dispose]: () => ties.dispose(),
    };
  },
});

interface Fuzzed {
  readonly id: number;
  /** The coded format, a virtio-video number. */
  readonly format: number;
  readonly units: readonly Uint8Array<ArrayBuffer>[];
}

class FuzzedStream {
  readonly #driver: LocalDriver;
  readonly #memory: readonly bigint[];
  readonly #of: Fuzzed;
  readonly #sent: Sent[] = [];
  #exists = false;
  #outputs: Sent[] = [];
  #queued = 0;
  #pictures = 0;

  constructor(driver: LocalDriver, memory: readonly bigint[], of: Fuzzed) {
    this.#driver = driver;
    this.#memory = memory;
    this.#of = of;
  }

  packet(unit: number, mutations: readonly Mutation[]): Uint8Array<ArrayBuffer> {
    const { units } = this.#of;
    let bytes = units[unit % units.length]?.slice(0, INPUT_BYTES) ?? new Uint8Array(1);
    for (const { kind, at, n } of mutations) {
      const place = Math.floor((at / 0x10000) * bytes.length);
      if (kind === "flip") bytes[place] = (bytes[place] ?? 0) ^ (1 << (n % 8));
      else if (kind === "set") bytes[place] = n & 0xff;
      else if (kind === "zero") bytes.fill(0, place, place + (n % 64));
      else if (kind === "cut") bytes = bytes.slice(0, Math.max(1, place));
      else bytes.set((units[n % units.length] ?? bytes).subarray(0, bytes.length - place), place);
    }
    return bytes;
  }

  /** Queues packets, and waits until all are answered or nothing more can happen. */
  async feed(packets: readonly Uint8Array<ArrayBuffer>[], drain = false): Promise<void> {
    const { id } = this.#of;
    const driver = this.#driver;
    this.#begin();
    const inputs = packets.slice(0, INPUTS).map((bytes, i) => {
      driver.memory.bytes(this.#memory[i] ?? 0n, bytes.length).set(bytes);
      return this.#track(driver.queue(id, s.INPUT, i + 1, [bytes.length], BigInt(i)));
    });
    const drained = drain ? this.#track(driver.drain(id)) : undefined;
    let renewed = 0;
    const done = () => {
      for (const type of this.#newEvents()) {
        if (type === s.EVENT_ERROR || ++renewed > MOST_RENEWED) return true;
        this.#renew();
      }
      this.#queueAgain();
      const idle = this.#outputs.every(({ held }) => !held);
      return idle || ![...inputs, ...(drained ? [drained] : [])].some(({ held }) => held);
    };
    await driver.until(done, LIMIT_MS);
    await this.#end();
  }

  /** Throws unless undamaged bitstream is decoded, at the latest when the decoder was opened again after 8 units that failed. */
  async decodesSound(): Promise<void> {
    for (const _ of [1, 2]) {
      await this.feed(this.#of.units.slice(0, 8), true);
      if (this.#pictures > 0) return;
    }
    throw new Error("sound bitstream is not decoded any more");
  }

  #track(sent: Sent): Sent {
    this.#sent.push(sent);
    return sent;
  }

  /** The types of this stream's events since the last call. */
  #newEvents(): number[] {
    const driver = this.#driver;
    const types = driver.eventList.filter(([, id]) => id === this.#of.id).map(([type]) => type);
    for (const _ of driver.events.splice(0)) driver.postEvent();
    return types;
  }

  #begin(): void {
    const { id, format } = this.#of;
    const driver = this.#driver;
    this.#sent.length = 0;
    this.#pictures = 0;
    this.#queued = 0;
    this.#newEvents();
    if (!this.#exists) {
      if (driver.create(id, { format }).code !== OK) throw new Error("STREAM_CREATE was refused");
      for (let i = 0; i < INPUTS; i++)
        driver.resource(id, s.INPUT, i + 1, [
          [{ address: this.#memory[i] ?? 0n, length: INPUT_BYTES }],
        ]);
      this.#exists = true;
    }
    this.#renew();
  }

  /** Takes the picture buffers back and makes new ones. */
  #renew(): void {
    const { id } = this.#of;
    const driver = this.#driver;
    for (const queue of [s.INPUT, s.OUTPUT]) this.#track(driver.getParams(id, queue)); // as drivers do after an event
    this.#track(driver.clear(id, s.OUTPUT));
    this.#track(driver.destroyAll(id, s.OUTPUT));
    this.#outputs = Array.from({ length: OUTPUTS }, (_, i) => {
      const address = this.#memory[INPUTS + i] ?? 0n;
      driver.resource(id, s.OUTPUT, 100 + i, [[{ address, length: OUTPUT_BYTES }]]);
      return this.#track(driver.queue(id, s.OUTPUT, 100 + i));
    });
  }

  #queueAgain(): void {
    for (const [i, sent] of this.#outputs.entries()) {
      if (sent.held || this.#queued >= MOST_QUEUED || sent.code !== OK_RESOURCE_QUEUE) continue;
      if ((sent.flags & s.BUFFER_EOS) !== 0) continue;
      if ((sent.flags & s.BUFFER_ERR) === 0 && sent.size > 0) this.#pictures += 1;
      this.#queued += 1;
      this.#outputs[i] = this.#track(this.#driver.queue(this.#of.id, s.OUTPUT, 100 + i));
    }
  }

  /** Takes everything back: all that was sent must have been answered once. */
  async #end(): Promise<void> {
    const { id } = this.#of;
    const driver = this.#driver;
    const cleared = [driver.clear(id, s.INPUT), driver.clear(id, s.OUTPUT)];
    const failed = cleared.some(({ code }) => code !== OK);
    if (failed) {
      driver.destroy(id);
      this.#exists = false;
    }
    await driver.until(() => !this.#sent.some(({ held }) => held), LIMIT_MS);
    for (const { answers } of this.#sent) if (answers !== 1) throw new Error(`${answers} answers`);
    driver.memory.checkGuards();
  }
}

// Fuzzing of the connection: a front-end sends any messages, well-formed or not, with any descriptors, over a real socket to the
// video device. Inaccessible pages surround the memory that it shares.
import { receiveWithDescriptors, sendWithDescriptors } from "../../ffi/descriptors.ts";
import { Signal } from "../../ffi/epoll.ts";
import { Fd, O_RDONLY, O_RDWR } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { inetAddress } from "../../ffi/sockaddr.ts";
import { listenOn, socketPair } from "../../ffi/socket.ts";
import { log } from "../../src/cli/log.ts";
import { isExpected } from "../../src/errors.ts";
import { Loop } from "../../src/loop.ts";
import { Connection, type End } from "../../src/vhost/connection.ts";
import { messageRows } from "../../src/vhost/messages.ts";
import * as p from "../../src/vhost/payloads.ts";
import type { CodecBackend } from "../../src/video/codec/codec.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";
import type { Random } from "../support/random.ts";
import { openDescriptors } from "../support/resources.ts";
import { payload } from "../support/vhost/front-end.ts";
import { GuestRam } from "../support/vhost/guest-ram.ts";
import { turns } from "../support/vhost/scene.ts";
import { defineTarget } from "./target.ts";

const REGION = 0x1_0000;
const places = [
  { guest: 0, size: REGION },
  { guest: REGION, size: REGION },
] as const;
const RING = 16;
const RINGS = [
  { descriptors: 0, available: 0x1000, used: 0x1800 },
  { descriptors: 0x2000, available: 0x3000, used: 0x3800 },
] as const;
const FEATURES = 0x1_7000_0003n;
const ALL_PROTOCOL = 0x1_b209n;
const HEADER = p.header.size;

/** Kinds of descriptors. The kick descriptor of each ring is also signalled between messages. */
const kinds = ["ram", "other", "kick", "call", "full", "socket", "null", "folder"] as const;
type Kind = (typeof kinds)[number];

type Step =
  | {
      readonly op: "send";
      readonly request: number;
      readonly flags: number;
      readonly bytes: readonly number[];
      readonly fds: readonly Kind[];
      /** The length in the header, when it is wrong. */
      readonly size?: number;
      /** Bytes of the message that are sent before the rest. */
      readonly cut: number;
    }
  | { readonly op: "raw"; readonly bytes: readonly number[] }
  | { readonly op: "ring"; readonly ring: number; readonly bytes: readonly number[] }
  | { readonly op: "kick" | "turn" };

/** The regions in all messages of this file. */
const rows = (() => {
  using ram = new GuestRam(places);
  return ram.rows;
})();

/** Makes a script. */
class Script {
  readonly #random: Random;
  readonly steps: Step[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  #send(name: string, bytes: Uint8Array, fds: readonly Kind[] = [], flags = 1): void {
    const request = messageRows.find((row) => row.name === name)?.request ?? 0;
    this.steps.push({ op: "send", request, flags, bytes: [...bytes], fds, cut: 0 });
  }

  /** Adds the valid messages that make the rings run. */
  begin(): void {
    const random = this.#random;
    this.#send("SET_PROTOCOL_FEATURES", payload.word(ALL_PROTOCOL));
    this.#send("SET_FEATURES", payload.word(random.chance(6) ? FEATURES & ~(1n << 30n) : FEATURES));
    if (random.chance(2)) this.#send("SET_MEM_TABLE", payload.regions(rows), ["ram", "ram"]);
    else for (const row of rows) this.#send("ADD_MEM_REG", payload.region(row), ["ram"], 9);
    const count = random.pick([1, 1, 2]);
    for (let ring = 0; ring < count; ring++) {
      this.#send("SET_VRING_NUM", payload.state(ring, RING));
      this.#send("SET_VRING_BASE", payload.state(ring, 0));
      this.#send("SET_VRING_ADDR", this.#addresses(ring));
      this.#send("SET_VRING_CALL", payload.word(BigInt(ring)), ["call"]);
      this.#send("SET_VRING_KICK", payload.word(BigInt(ring)), ["kick"]);
      this.#send("SET_VRING_ENABLE", payload.state(ring, 1), [], 9);
    }
  }

  #addresses(ring: number): Uint8Array<ArrayBuffer> {
    const at = RINGS[ring] ?? RINGS[0];
    const user = rows[0]?.user ?? 0n;
    return payload.addresses(ring, {
      descriptors: user + BigInt(at.descriptors),
      available: user + BigInt(at.available),
      used: user + BigInt(at.used),
    });
  }

  step(): void {
    const random = this.#random;
    const kind = random.below(20);
    if (kind < 2) this.steps.push({ op: "turn" });
    else if (kind < 4) this.steps.push({ op: "kick" });
    else if (kind < 7) this.#ring();
    else if (kind < 8 && random.chance(4)) this.#raw();
    else this.#any();
  }

  #ring(): void {
    const random = this.#random;
    const bytes = Array.from({ length: 1 + random.below(24) }, () => random.hostile() & 0xff);
    this.steps.push({ op: "ring", ring: random.below(2), bytes });
  }

  #raw(): void {
    const random = this.#random;
    const bytes = Array.from({ length: 1 + random.below(40) }, () => random.bits() & 0xff);
    this.steps.push({ op: "raw", bytes });
  }

  /** Adds any request. Its payload and descriptors mostly have the right form, with valid or hostile numbers. */
  #any(): void {
    const random = this.#random;
    const row = messageRows[random.below(messageRows.length)];
    const bytes = this.#payload(row?.name ?? "");
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      if (random.chance(8)) view.setUint32(at, random.hostile(), true);
    }
    const length = random.chance(12) ? random.below(bytes.length + 1) : bytes.length;
    const wanted = row?.fds ?? 0;
    const count = random.chance(8) ? random.below(random.pick([4, 40])) : Math.min(wanted, 2);
    const usual: Kind = /KICK/.test(row?.name ?? "") ? "kick" : wanted > 1 ? "ram" : "other";
    const any = kinds[random.below(kinds.length)] ?? usual;
    this.steps.push({
      op: "send",
      request: random.chance(30) ? random.bits() : (row?.request ?? 0),
      flags: random.chance(30) ? random.hostile() : random.pick([1, 1, 9]),
      bytes: [...bytes.subarray(0, length)],
      fds: Array.from({ length: count }, () => (random.chance(4) ? any : usual)),
      ...(random.chance(40) ? { size: random.hostile() } : {}),
      cut: random.chance(6) ? random.below(HEADER + length + 1) : 0,
    });
  }

  #payload(name: string): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    const ring = random.below(2);
    if (/MEM_TABLE/.test(name)) return payload.regions(rows.slice(0, 1 + random.below(2)));
    if (/MEM_REG/.test(name)) {
      const row = rows[random.below(2)] ?? { guest: 0n, size: 0n, user: 0n, offset: 0n };
      return payload.region(random.chance(2) ? row : { ...row, guest: 1n << 32n, user: 1n << 40n });
    }
    if (/VRING_ADDR/.test(name)) return this.#addresses(ring);
    if (/CONFIG/.test(name)) return payload.config(random.below(8), 1 + random.below(60), 0);
    if (/INFLIGHT/.test(name)) {
      return payload.inflight(1 + random.below(4096), 0, 2, random.pick([1, RING, 64]));
    }
    if (/FEATURES|STATUS|LOG|CALL|KICK|ERR/.test(name) && /^SET/.test(name)) {
      const word = /VRING/.test(name) ? BigInt(ring) : random.chance(2) ? FEATURES : 8n;
      return payload.word(word);
    }
    if (/VRING/.test(name)) return payload.state(ring, random.pick([0, 1, 1, RING, 2 * RING]));
    const length = random.chance(8) ? random.below(64) : 0;
    return new Uint8Array(new ArrayBuffer(length));
  }
}

export const socket = defineTarget<Step>({
  name: "socket",
  title: "messages and descriptors of any content",
  script(random) {
    const script = new Script(random);
    if (!random.chance(4)) script.begin();
    const count = 3 + random.below(12);
    for (let i = 0; i < count; i++) script.step();
    return script.steps;
  },
  open: () => new Bench(),
});

/** Used by all cases: a loop, guest memory, and a descriptor of each kind. */
class Bench implements Disposable {
  readonly #owned = new DisposableStack();
  readonly #loop = this.#owned.use(new Loop());
  readonly #ram = this.#owned.use(new GuestRam(places));
  readonly #codec: CodecBackend = this.#owned.use(openNull());
  readonly #kick = this.#owned.use(new Signal());
  readonly #fds: Readonly<Record<Kind, number>>;

  constructor() {
    const own = <T extends Disposable>(one: T) => this.#owned.use(one);
    this.#fds = {
      ram: this.#ram.fd.number,
      other: own(Fd.memory("other", 0x8000)).number,
      kick: this.#kick.fd,
      call: own(new Signal()).fd,
      full: own(Fd.open("/dev/full", O_RDWR)).number,
      // Not a Unix socket: the kernel needs milliseconds to collect those in flight.
      socket: own(listenOn(inetAddress("127.0.0.1", 0))).number,
      null: own(Fd.open("/dev/null", O_RDWR)).number,
      folder: own(Fd.open("/", O_RDONLY)).number,
    };
  }

  async attempt(script: readonly Step[]): Promise<void> {
    const { level } = log;
    log.level = -1;
    for (const { guest, size } of places) this.#ram.bytes(guest, size).fill(0);
    this.#kick.clear();
    const before = openDescriptors();
    try {
      using owned = new DisposableStack();
      // An error that a handler throws leaves the loop: a defect, too.
      await this.#loop.run(this.#play(script, owned));
    } finally {
      log.level = level;
    }
    const left = openDescriptors() - before;
    if (left > 0) throw new Error(`${left} descriptors are left`);
  }

  async #play(script: readonly Step[], owned: DisposableStack): Promise<void> {
    const [ours, theirs] = socketPair();
    owned.use(theirs);
    const connection = owned.use(
      new Connection(this.#loop, ours, () =>
        createVideoDevice({ backend: this.#codec, maxStreams: 4 }),
      ),
    );
    const ends: End[] = [];
    connection.over.then((how) => {
      ends.push(how);
      connection[Symbol.dispose]();
    });
    const answers = new Answers(theirs);
    let framed = true;
    for (const one of script) {
      framed = (await this.#step(one, theirs, answers)) && framed;
    }
    await turns(this.#loop, 2);
    answers.take();
    const [end] = ends;
    if (end === undefined && framed) await this.#probe(theirs, answers);
    if (end instanceof Error && !isExpected(end)) {
      throw new Error(`a defect: ${Bun.inspect(end)}`, { cause: end });
    }
  }

  /** Does one step. False when the framing of the stream is lost after it. */
  async #step(one: Step, to: Fd, answers: Answers): Promise<boolean> {
    switch (one.op) {
      case "turn":
        await turns(this.#loop, 1);
        answers.take();
        return true;
      case "kick":
        this.#kick.raise();
        return true;
      case "ring":
        this.#write(one.ring, one.bytes);
        return true;
      case "raw":
        send(to, Uint8Array.from(one.bytes), []);
        return false;
      case "send":
        await this.#send(one, to);
        return one.size === undefined;
    }
  }

  async #send(one: Extract<Step, { op: "send" }>, to: Fd): Promise<void> {
    const message = new Uint8Array(new ArrayBuffer(HEADER + one.bytes.length));
    const header = p.header.over(message);
    header.request = one.request;
    header.flags = one.flags;
    header.size = one.size ?? one.bytes.length;
    message.set(one.bytes, HEADER);
    const fds = one.fds.map((kind) => this.#fds[kind]);
    if (one.cut === 0) {
      send(to, message, fds);
      return;
    }
    send(to, message.slice(0, one.cut), fds);
    await turns(this.#loop, 1);
    send(to, message.slice(one.cut), []);
  }

  /** Writes descriptors, without any check, and offers the first. */
  #write(ring: number, bytes: readonly number[]): void {
    const at = RINGS[ring] ?? RINGS[0];
    this.#ram.bytes(at.descriptors, bytes.length).set(bytes);
    const available = this.#ram.view(at.available, 4);
    available.setUint16(2, available.getUint16(2, true) + 1, true);
  }

  /** Checks that a front-end that is still connected is answered. */
  async #probe(to: Fd, answers: Answers): Promise<void> {
    const before = answers.count;
    send(to, Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), []);
    await turns(this.#loop, 2);
    answers.take();
    if (answers.count !== before + 1) throw new Error("it does not answer any more");
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

/** Checks that only complete answers are received, each with flags 5 and a possible length. */
class Answers {
  count = 0;
  readonly #socket: Fd;
  readonly #bytes = new Uint8Array(new ArrayBuffer(HEADER + p.MAX_PAYLOAD));
  readonly #at = addressOf(this.#bytes);
  readonly #fds: Fd[] = [];
  #got = 0;

  constructor(socket: Fd) {
    this.#socket = socket;
  }

  take(): void {
    for (;;) {
      const whole = this.#got < HEADER ? HEADER : HEADER + p.header.over(this.#bytes).size;
      if (this.#got === whole) {
        this.count += 1;
        this.#got = 0;
        continue;
      }
      const left = whole - this.#got;
      const r = receiveWithDescriptors(this.#socket, this.#at + this.#got, left, this.#fds);
      for (const fd of this.#fds.splice(0)) fd[Symbol.dispose]();
      if (r <= 0) return;
      this.#got += r;
      if (this.#got === HEADER) this.#check();
    }
  }

  #check(): void {
    const { flags, size } = p.header.over(this.#bytes);
    if (flags !== 5 || size > p.MAX_PAYLOAD) {
      throw new Error(`an answer with flags ${flags} and ${size} bytes`);
    }
  }
}

function send(to: Fd, bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
  if (bytes.length > 0) sendWithDescriptors(to, addressOf(bytes), bytes.length, fds);
}

// The daemon's end of a decoder's process: the same program again, with a socket and two pieces of shared memory, and nothing of
// the guest. Nothing that the process says is trusted. One that ends, hangs, grows too large or breaks the rules is killed.
import { EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from "../../../../ffi/epoll.ts";
import { errno, errnoName } from "../../../../ffi/errno.ts";
import { Fd } from "../../../../ffi/fd.ts";
import { Mapping, PROT_READ } from "../../../../ffi/mapping.ts";
import { packetPair } from "../../../../ffi/socket.ts";
import { log } from "../../../cli/log.ts";
import type { OwnProgram } from "../../../cli/own-program.ts";
import type { Watch } from "../../../loop.ts";
import type { DeviceLoop } from "../../../virtio/virtio-device.ts";
import { Channel, type DecoderRecord } from "./channel.ts";
import {
  BITSTREAM_SLOTS,
  bitstreamSlotBytes,
  DAEMON,
  FRAMES,
  FRAMES_IN_ALL,
  frameBytes,
  inherited,
  messages,
  PICTURE_SLOTS,
  PROGRESS_BYTES,
  pictureSlotBytes,
} from "./messages.ts";
import type { StartGate } from "./start-gate.ts";
import { Watchdog, type Watched } from "./watchdog.ts";

/** Packets that are read in one turn of the loop. */
const PACKETS_PER_TURN = 8;
/** What the process needs beside pictures: the runtime, the libraries and the bitstream. */
const BASE_MEMORY = 384 * 1024 * 1024;
/** Pictures that a decoder may hold, references and those in work, at 3 bytes a pixel (4:2:0, 10 bit). */
const PICTURES_HELD = 32;
const BYTES_PER_PIXEL = 3;

export interface DecoderLimits {
  readonly threads: number;
  readonly maxPixels: number;
}

/** The session, for its process. */
export interface ProcessOwner {
  /** What the process has to do, as `Watched.work`. */
  work(): Exclude<ReturnType<Watched["work"]>, "paused">;
  /** Takes a record of the process. Answers what is wrong with it. */
  heard(message: DecoderRecord): string | undefined;
  /** Called after the records that had arrived were handled. */
  heardAll(): void;
  /** Called once when the process can do no more; it is dead or has been killed. */
  ended(reason: string): void;
}

/** What a decoder's process is started with. */
export interface DecoderStart {
  readonly loop: DeviceLoop;
  readonly program: OwnProgram;
  readonly limits: DecoderLimits;
  readonly gate: StartGate;
}

export class DecoderProcess implements Disposable {
  readonly channel: Channel;
  /** Bytes of a slot. */
  readonly bitstreamBytes: number;
  readonly pictureBytes: number;
  readonly frameBytes: number;
  /** Undefined until the gate lets it start: what is sent until then waits in the socket. */
  #child: Bun.Subprocess | undefined;
  #watchdog: Watchdog | undefined;
  readonly #bitstream: Mapping;
  readonly #pictures: Mapping;
  readonly #frames: Mapping;
  readonly #progress: Uint32Array<ArrayBuffer>;
  readonly #owner: ProcessOwner;
  readonly #watch: Watch;
  readonly #owned: DisposableStack;
  #listening = true;
  #over = false;

  /** Starts the process, now or when the gate allows it. Throws SysError, or what the runtime throws. */
  constructor({ loop, program, limits, gate }: DecoderStart, owner: ProcessOwner) {
    const { maxPixels } = limits;
    using owned = new DisposableStack();
    const passed = owned.use(new DisposableStack());
    this.#owner = owner;
    this.bitstreamBytes = bitstreamSlotBytes(maxPixels);
    this.pictureBytes = pictureSlotBytes(maxPixels);
    this.frameBytes = frameBytes(maxPixels);
    const [ours, theirs] = packetPair();
    this.channel = owned.use(new Channel(ours));
    const socket = passed.use(theirs);
    // Only pages that were touched cost memory.
    const slots = BITSTREAM_SLOTS * this.bitstreamBytes;
    const bitstream = passed.use(Fd.memory("framepass bitstream", slots + PROGRESS_BYTES));
    const pictures = passed.use(Fd.memory("framepass pictures", FRAMES_IN_ALL * this.frameBytes));
    this.#bitstream = owned.use(new Mapping(bitstream.number, slots, bitstream.name));
    const before = PICTURE_SLOTS * this.pictureBytes;
    this.#pictures = owned.use(new Mapping(pictures.number, before, pictures.name));
    this.#frames = owned.use(
      new Mapping(pictures.number, FRAMES * this.frameBytes, pictures.name, PROT_READ, before),
    );
    const progress = owned.use(
      new Mapping(bitstream.number, PROGRESS_BYTES, bitstream.name, undefined, slots),
    );
    this.#progress = new Uint32Array(progress.bytes.buffer, 0, 1);
    owned.defer(() => this.#child?.kill("SIGKILL"));
    owned.defer(() => this.#watchdog?.[Symbol.dispose]());
    this.#watch = owned.use(
      loop.watch(ours.number, EPOLLIN | EPOLLRDHUP, (events) => this.#woken(events)),
    );
    let isLate = false;
    const start = () => {
      try {
        this.#start({ loop, program, limits }, [socket, bitstream, pictures]);
      } catch (error) {
        if (!isLate) throw error;
        log.withTag("video").warn(`a decoder's process cannot start: ${(error as Error).message}`);
      }
      passed.dispose(); // without a process the socket is closed now, which ends the stream
    };
    owned.use(gate.ask(loop, start));
    isLate = true;
    this.#owned = owned.move();
  }

  #start({ loop, program, limits }: Omit<DecoderStart, "gate">, fds: readonly Fd[]): void {
    const { threads, maxPixels } = limits;
    const child = spawn(program, fds);
    child.unref();
    this.#child = child;
    const { pid } = child;
    this.#watchdog = new Watchdog(loop, {
      pid,
      threads,
      memoryLimit: BASE_MEMORY + PICTURES_HELD * BYTES_PER_PIXEL * maxPixels,
      progress: () => this.#progress[0] ?? 0,
      work: () => (this.#listening ? this.#owner.work() : "paused"),
      over: (reason) => this.#end(`the decoder's process (${pid}) ${reason}`),
    });
  }

  /** The number of the process; 0 until it was started. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** The address of a slot. */
  bitstreamAt(slot: number): number {
    return this.#bitstream.address + slot * this.bitstreamBytes;
  }
  pictureAt(slot: number): number {
    return this.#pictures.address + slot * this.pictureBytes;
  }
  frameAt(frame: number): number {
    return this.#frames.address + frame * this.frameBytes;
  }

  /** Sends what was posted; the rest follows when the socket takes more. A failure is noticed in the next turn of the loop. */
  send(): void {
    if (this.#over || !this.channel.waiting) return;
    this.channel.flush();
    this.#setEvents();
  }

  #sendRest(): void {
    const r = this.channel.flush();
    if (r < 0) this.#gone(-r);
    else this.#setEvents();
  }

  /** Whether its messages are read. While they are not, the process continues and nothing is lost. */
  listen(on: boolean): void {
    if (this.#over) return;
    this.#listening = on;
    this.#setEvents();
  }

  #setEvents(): void {
    const out = this.channel.waiting ? EPOLLOUT : 0;
    this.#watch.setEvents(this.#listening ? EPOLLIN | EPOLLRDHUP | out : 0);
  }

  #woken(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#sendRest();
    const gone = (events & (EPOLLHUP | EPOLLRDHUP)) !== 0;
    for (let packet = 0; packet < PACKETS_PER_TURN || gone; packet++) {
      if (this.#over) return;
      const records = this.channel.receive();
      if (records === -errno.EAGAIN) break;
      if (records > 0) this.#hear(records);
      else this.#gone(-records);
    }
    this.#owner.heardAll();
  }

  #hear(records: number): void {
    for (let i = 0; i < records && !this.#over; i++) {
      const message = this.channel.received[i];
      if (message === undefined) return;
      if (message.type === messages.failed.type) {
        this.#end(
          `the decoder's process (${this.pid}) failed: ${this.channel.failureAt(i).reason}`,
        );
        return;
      }
      const wrong = this.#owner.heard(message);
      if (wrong !== undefined)
        this.#end(`the decoder's process (${this.pid}) broke the rules: ${wrong}`);
    }
  }

  #gone(code: number): void {
    const reason =
      code === 0 || code === errno.EPIPE || code === errno.ECONNRESET
        ? "has ended"
        : `is lost: ${errnoName(code)}`;
    this.#end(`the decoder's process (${this.pid}) ${reason}`);
  }

  #end(reason: string): void {
    if (this.#over) return;
    this[Symbol.dispose]();
    this.#owner.ended(reason);
  }

  /** Kills the process. The runtime collects it later. */
  [Symbol.dispose](): void {
    if (this.#over) return;
    this.#over = true;
    this.#owned.dispose();
  }
}

/** Starts the program with the descriptors of `inherited`. Throws what the runtime or a system call throws. */
function spawn(program: OwnProgram, fds: readonly Fd[]): Bun.Subprocess {
  using copies = new DisposableStack();
  // Bun copies them to 3, 4, 5 in the child, one after the other: a source with such a number would be overwritten first.
  const above = inherited.pictures + 1;
  const passed = fds.map((fd) => copies.use(Fd.duplicate(fd.number, fd.name, above)).number);
  const { LD_LIBRARY_PATH } = process.env;
  const child = Bun.spawn([program.file, ...program.words], {
    argv0: program.name,
    cwd: "/", // the runtime does not start in a folder that was removed
    // Only what it needs: an attacker who controls the process must not find secrets in its environment.
    env: {
      [DAEMON]: String(process.pid),
      ...(LD_LIBRARY_PATH !== undefined && { LD_LIBRARY_PATH }),
    },
    stdio: ["ignore", "ignore", "ignore", ...passed],
  });
  const { pid } = child;
  child.exited.then((status) => {
    const how = child.signalCode ?? `status ${status}`;
    log.withTag("video").debug(`the decoder's process (${pid}) has ended: ${how}`);
  });
  return child;
}

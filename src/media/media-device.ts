// The virtio-media device: takes commands, finds their session and ioctl, and answers each once, or never (answer-time.ts).
import * as v from "../../ffi/linux/videodev2.ts";
import { log, logsDebug } from "../cli/log.ts";
import { Quota } from "../virtio/buffer-memory.ts";
import type { DeviceHost, GuestMemory, Request, VirtioDevice } from "../virtio/virtio-device.ts";
import { AnswerTime, NEVER_MS, TICK_MS } from "./answer-time.ts";
import { CameraNode } from "./camera-node.ts";
import { Events } from "./events.ts";
import { IoctlRunner } from "./ioctl-runner.ts";
import { MediaCounts } from "./media-counts.ts";
import { asRefusal, check, MediaError } from "./media-error.ts";
import type { MediaSource } from "./media-source.ts";
import * as p from "./protocol.ts";
import { MAX_SESSIONS, type Session, Sessions } from "./session.ts";
import { Settling } from "./settling.ts";
import { SharedBuffers } from "./shared-buffers.ts";
import { WaitingAnswers } from "./waiting-answers.ts";

export interface MediaDeviceOptions {
  readonly source: MediaSource;
  /** What programs in the guest call the camera. */
  readonly card: string;
  /** Bytes of all buffers, and of the region in which guests map them: a power of two; 0: guests use memory of their own. */
  readonly memoryBytes: number;
  readonly counts?: MediaCounts;
  /** A clock in milliseconds that goes on while this process is stopped. */
  readonly now?: () => number;
}

const COMMAND_QUEUE = 0;
const EVENT_QUEUE = 1;
/** The fixed part of the longest command. */
const SCRATCH_BYTES = 24;
/** Lines about faults of the guest of one kind. */
const MOST_LINES = 3;
const nothing = new Uint8Array(new ArrayBuffer(0));

/** Makes the device for one connection. The caller keeps the ownership of the source. */
export function createMediaDevice(options: MediaDeviceOptions): VirtioDevice {
  return new MediaDevice(options);
}

type Run = (request: Request, takenMs: number) => void;

class MediaDevice implements VirtioDevice {
  readonly deviceId = p.VIRTIO_ID_MEDIA;
  readonly features = 0n;
  readonly queues = 2;
  readonly eventQueue = EVENT_QUEUE;
  readonly sharedMemoryBytes: number | undefined;
  readonly answerLimitMs = NEVER_MS;
  readonly #config: Uint8Array<ArrayBuffer>;
  readonly #scratch = new Uint8Array(new ArrayBuffer(SCRATCH_BYTES));
  readonly #header = p.header.over(this.#scratch);
  readonly #close = p.closeCommand.over(this.#scratch);
  readonly #ioctl = p.ioctlCommand.over(this.#scratch);
  readonly #mmap = p.mmapCommand.over(this.#scratch);
  readonly #munmap = p.munmapCommand.over(this.#scratch);
  readonly #answer = p.answerHeader.alloc();
  readonly #opened = p.openAnswer.alloc();
  readonly #events: Events;
  readonly #sessions = new Sessions();
  readonly #shared: SharedBuffers;
  readonly #node: CameraNode;
  readonly #time: AnswerTime;
  readonly #waiting: WaitingAnswers;
  readonly #settling: Settling;
  readonly #runner: IoctlRunner;
  readonly #reported = new Map<string, number>();
  #host: DeviceHost | undefined;
  #memory: GuestMemory | undefined;
  #timer: Disposable | undefined;

  constructor({
    source,
    card,
    memoryBytes,
    counts,
    now = () => performance.now(),
  }: MediaDeviceOptions) {
    this.sharedMemoryBytes = memoryBytes === 0 ? undefined : memoryBytes;
    this.#shared = new SharedBuffers(new Quota(memoryBytes));
    this.#time = new AnswerTime(now);
    this.#waiting = new WaitingAnswers(this.#time);
    this.#settling = new Settling(this.#time);
    this.#events = new Events(this.#settling);
    this.#node = new CameraNode({
      source,
      events: this.#events,
      shared: this.#shared,
      sessions: this.#sessions,
      counts: counts ?? new MediaCounts(),
      host: () => this.#running,
      memory: () => this.#guestMemory,
    });
    this.#runner = new IoctlRunner(this.#node, this.#time, this.#settling);
    const config = p.config.alloc();
    config.device_caps =
      v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_STREAMING | v.V4L2_CAP_EXT_PIX_FORMAT;
    config.device_type = p.TYPE_VIDEO;
    config.card = card;
    this.#config = config.$bytes;
  }

  config(): Uint8Array<ArrayBuffer> {
    return this.#config;
  }

  get #running(): DeviceHost {
    if (this.#host === undefined) throw new MediaError("EIO", "the device was not started");
    return this.#host;
  }

  get #guestMemory(): GuestMemory {
    if (this.#memory === undefined) throw new MediaError("EIO", "the device has no memory table");
    return this.#memory;
  }

  start(host: DeviceHost): void {
    this.reset();
    this.#host = host;
    this.#memory = host.memory;
    this.#time.restart();
    this.#timer = host.loop.every(TICK_MS, () => {
      this.#time.tick();
      this.#waiting.tick();
      this.#settling.tick();
    });
  }

  request(queue: number, request: Request): void {
    if (queue === COMMAND_QUEUE) this.#command(request);
    else if (queue === EVENT_QUEUE) this.#events.post(request);
    else request.answer(nothing);
  }

  #command(request: Request): void {
    const takenMs = this.#time.taken();
    const { bytes } = request;
    if (bytes.length < p.header.size) {
      this.#fault(
        "",
        `a command of ${bytes.length} bytes was refused: its head has ${p.header.size}`,
      );
      this.#refuse(request, takenMs, new MediaError("EINVAL", "no head"));
      return;
    }
    const scratch = this.#scratch;
    const length = Math.min(bytes.length, SCRATCH_BYTES);
    for (let i = 0; i < length; i++) scratch[i] = bytes[i] ?? 0;
    scratch.fill(0, length);
    const { cmd } = this.#header;
    const row = this.#commands[cmd];
    const [size, answer, run, always] = row ?? [0, 0, undefined, false];
    // The guest gave up waiting long ago. What it cannot repeat is done all the same.
    if (!this.#time.mayAnswer(takenMs) && !always) return;
    try {
      if (run === undefined) throw new MediaError("ENOTTY", `there is no command ${cmd}`);
      check(bytes.length >= size, `command ${cmd} has ${bytes.length} bytes and needs ${size}`);
      check(request.room >= answer, `the answer of command ${cmd} has room for ${request.room}`);
      run(request, takenMs);
    } catch (error) {
      this.#refuse(request, takenMs, asRefusal(error));
      if (row === undefined || cmd !== p.IOCTL) this.#fault(`${cmd}`, (error as Error).message);
    }
  }

  /** By number: bytes of the command, bytes of the answer, what it does, and whether it is done when the guest has given up. */
  readonly #commands: Readonly<Record<number, readonly [number, number, Run, boolean]>> = {
    [p.OPEN]: [
      p.header.size,
      p.openAnswer.size,
      (request, taken) => this.#open(request, taken),
      false,
    ],
    [p.CLOSE]: [
      p.closeCommand.size,
      0,
      (request, taken) => this.#closeSession(request, taken),
      true,
    ],
    [p.IOCTL]: [
      p.ioctlCommand.size,
      p.answerHeader.size,
      (r, taken) => this.#runIoctl(r, taken),
      false,
    ],
    [p.MMAP]: [
      p.mmapCommand.size,
      p.mmapAnswer.size,
      (request, taken) => this.#map(request, taken),
      false,
    ],
    [p.MUNMAP]: [
      p.munmapCommand.size,
      p.answerHeader.size,
      (r, taken) => this.#unmap(r, taken),
      true,
    ],
  };

  #session(id: number): Session {
    const session = this.#sessions.get(id);
    check(session !== undefined, "there is no such session");
    return session;
  }

  #open(request: Request, takenMs: number): void {
    const session = this.#sessions.open();
    if (session === undefined)
      throw new MediaError("EMFILE", `the guest has ${MAX_SESSIONS} files of the camera open`);
    this.#opened.session_id = session.id;
    if (this.#time.mayAnswer(takenMs)) request.answer(this.#opened.$bytes);
  }

  /** The command has no answer: its chain is returned empty. */
  #closeSession(request: Request, takenMs: number): void {
    const session = this.#sessions.close(this.#close.session_id);
    if (session !== undefined) this.#node.close(session);
    this.#settling.answer(request, takenMs, nothing);
  }

  #runIoctl(request: Request, takenMs: number): void {
    const session = this.#session(this.#ioctl.session_id);
    this.#runner.run(request, takenMs, session, this.#ioctl.code);
  }

  #map(request: Request, takenMs: number): void {
    const { offset } = this.#mmap;
    const session = this.#session(this.#mmap.session_id);
    const region = this.#running.sharedMemory;
    if (region === undefined) throw new MediaError("ENOMEM", "the monitor has no region");
    const { buffers } = this.#node.queueOf(session);
    const buffer = buffers.find(({ shared }) => shared?.handle === offset)?.shared;
    check(buffer !== undefined, "the session has no such buffer");
    const answer = this.#waiting.keep(request, takenMs, buffer.memory.length);
    buffer.map(region, answer);
  }

  #unmap(request: Request, takenMs: number): void {
    this.#shared.unmap(this.#munmap.driver_addr);
    this.#answer.status = 0;
    if (this.#time.mayAnswer(takenMs)) request.answer(this.#answer.$bytes);
  }

  #refuse(request: Request, takenMs: number, { errno }: MediaError): void {
    if (!this.#time.mayAnswer(takenMs)) return;
    this.#answer.status = errno;
    request.answer(this.#answer.$bytes);
  }

  /** Programs ask for what is not there as a matter of course, so only what no driver sends is logged. */
  #fault(kind: string, text: string): void {
    this.#host?.refused();
    const times = (this.#reported.get(kind) ?? 0) + 1;
    this.#reported.set(kind, times);
    if (times <= MOST_LINES) this.#host?.complain(text);
    else if (logsDebug()) log.withTag("media").debug(text);
  }

  pause(): void {
    this.#node.paused = true;
    this.#settling.paused = true;
  }

  resume(): void {
    this.#node.paused = false;
    this.#settling.paused = false;
  }

  reset(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#node.reset();
    for (const { id } of [...this.#sessions.all()]) this.#sessions.close(id);
    this.#events.reset();
    this.#waiting.reset();
    this.#settling.reset();
    this.#shared.reset();
  }

  memoryChanged(memory: GuestMemory): void {
    this.#memory = memory;
  }

  [Symbol.dispose](): void {
    this.reset();
  }
}

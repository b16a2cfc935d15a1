// A codec that decodes nothing: parameters, order and events are real, pictures are grey. With it a guest driver can be tested
// on any host. It makes one picture per FWHT frame of the bitstream, or per buffer that is not FWHT.
import { addressOf } from "../../../ffi/libc.ts";
import { colourPlanes, planesBytes } from "../colour-planes.ts";
import { FWHT, NV12, videoFormat, YUV420 } from "../formats.ts";
import type { Plane, Resource } from "../resource.ts";
import { INPUT, OUTPUT, type QueueType } from "../structs.ts";
import type {
  CodecBackend,
  CodecSession,
  FormatCapability,
  ParamsWish,
  QueueParams,
  Range,
  StreamClient,
} from "./codec.ts";
import { FwhtCutter } from "./fwht.ts";
import { writePicture } from "./resource-copies.ts";

const WIDTHS: Range = { min: 16, max: 4096, step: 1 };
const HEIGHTS: Range = { min: 16, max: 2160, step: 1 };
const MIN_OUTPUTS = 3; // two to decode, one for EOS
const MAX_BUFFERS = 32;
/** Pictures that may wait for a buffer. At this limit no more bitstream is taken. */
const MAX_WAITING = 64;
const GREY = 0x80;

const capability = (format: number, mask: bigint): FormatCapability => ({
  format,
  mask,
  sizes: [{ width: WIDTHS, height: HEIGHTS }],
});
const clamp = (value: number, { min, max }: Range) => Math.max(min, Math.min(max, value));

/** Opens the null codec; it needs nothing. */
export function openNull(): CodecBackend {
  return {
    name: "null",
    deviceName: "framepass null decoder",
    capabilities: {
      input: [capability(FWHT, 3n)],
      output: [capability(YUV420, 1n), capability(NV12, 1n)],
    },
    controlValues: () => undefined,
    open: (_loop, format, client) => new NullSession(format, client),
    [Symbol.dispose]: () => undefined,
  };
}

class NullSession implements CodecSession {
  readonly #client: StreamClient;
  readonly #coded: number;
  readonly #cutter = new FwhtCutter();
  /** Timestamps of pictures that wait for a buffer. */
  readonly #pictures: bigint[] = [];
  #raw: number = YUV420;
  #width = 1280;
  #height = 720;
  /** The size of the picture is known from the stream; the driver cannot set it any more. */
  #started = false;
  #planes: readonly Plane[] = [];
  #planeSize = 0;
  #picture = new Uint8Array(new ArrayBuffer(0));
  /** The bitstream buffer being read, and the position in it. */
  #input: Resource | undefined;
  #at = 0;
  /** A complete frame of it waits for a picture buffer. */
  #whole = false;
  #disposed = false;
  #read = (to: Uint8Array<ArrayBuffer>, length: number, at: number): boolean =>
    this.#input?.read(addressOf(to), length, (this.#input.planes[0]?.offset ?? 0) + at) ?? false;

  constructor(coded: number, client: StreamClient) {
    this.#coded = coded;
    this.#client = client;
    this.#setSize(this.#width, this.#height);
  }

  #setSize(width: number, height: number): void {
    this.#width = clamp(width, WIDTHS);
    this.#height = clamp(height, HEIGHTS);
    const format = videoFormat(this.#raw);
    if (format === undefined) return;
    this.#planes = colourPlanes(format, this.#width, this.#height);
    this.#planeSize = planesBytes(this.#planes);
  }

  params(queue: QueueType): QueueParams {
    const { width, height } = { width: this.#width, height: this.#height };
    const common = {
      width,
      height,
      maxBuffers: MAX_BUFFERS,
      crop: { left: 0, top: 0, width, height },
    };
    return queue === INPUT
      ? {
          ...common,
          format: this.#coded,
          minBuffers: 1,
          planeSize: Math.ceil((width * height * 3) / 2),
          stride: 0,
        }
      : {
          ...common,
          format: this.#raw,
          minBuffers: MIN_OUTPUTS,
          planeSize: this.#planeSize,
          stride: width,
        };
  }

  configure(queue: QueueType, wish: ParamsWish): void {
    if (queue === OUTPUT && wish.format !== 0) this.#raw = wish.format;
    const mine = !this.#started;
    this.#setSize(
      mine && wish.width !== 0 ? wish.width : this.#width,
      mine && wish.height !== 0 ? wish.height : this.#height,
    );
  }

  control(): undefined {
    return undefined;
  }

  setControl(): boolean {
    return false;
  }

  forgetPlaces(): void {}

  pump(): void {
    while (!this.#disposed && this.#step());
    if (this.#client.draining && this.#input === undefined && this.#pictures.length === 0) {
      if (this.#client.inputsWaiting > 0) return;
      this.#cutter.reset(); // an incomplete frame is dropped
      this.#client.drained();
    }
  }

  /** Does one step of work. False when there is nothing to do now. */
  #step(): boolean {
    if (this.#deliver()) return true;
    if (this.#whole) return false; // it needs a picture buffer first
    if (this.#input === undefined) {
      if (this.#pictures.length >= MAX_WAITING) return false;
      this.#input = this.#client.takeInput();
      this.#at = 0;
      if (this.#input === undefined) return false;
    }
    const input = this.#input;
    const size = input.size;
    const { found, at } = this.#cutter.next(this.#read, this.#at, size);
    this.#at = at;
    if (found === "frame") {
      this.#whole = true;
      this.#seen(this.#cutter.width, this.#cutter.height);
      return true;
    }
    if (found === "foreign") {
      this.#seen(this.#width, this.#height);
      this.#pictures.push(input.timestamp);
    } else if (this.#cutter.width !== 0) {
      this.#seen(this.#cutter.width, this.#cutter.height);
    }
    this.#inputDone();
    return true;
  }

  /** Writes the oldest picture to the next buffer. False when one of them is missing. */
  #deliver(): boolean {
    const fromInput = this.#pictures.length === 0;
    if (fromInput && !this.#whole) return false;
    const resource = this.#client.takeOutput(this.#planeSize);
    if (resource === undefined) return false;
    const timestamp = fromInput ? (this.#input?.timestamp ?? 0n) : (this.#pictures.shift() ?? 0n);
    const written = this.#paint(resource);
    this.#client.outputDone(resource, timestamp, this.#planeSize, !written);
    if (!fromInput) return true;
    this.#whole = false;
    if (this.#at >= (this.#input?.size ?? 0)) this.#inputDone();
    return true;
  }

  #paint(resource: Resource): boolean {
    if (this.#picture.length < this.#planeSize)
      this.#picture = new Uint8Array(new ArrayBuffer(this.#planeSize)).fill(GREY);
    return writePicture(resource, addressOf(this.#picture), this.#planes, this.#planeSize);
  }

  #inputDone(): void {
    const input = this.#input;
    this.#input = undefined;
    if (input !== undefined) this.#client.inputDone(input, false);
  }

  /** Call this before a picture of that size. */
  #seen(width: number, height: number): void {
    const midStream = this.#started;
    const same = clamp(width, WIDTHS) === this.#width && clamp(height, HEIGHTS) === this.#height;
    if (midStream && same) return;
    this.#started = true;
    const before = this.params(OUTPUT);
    this.#setSize(width, height);
    this.#client.headerRead(before, midStream);
  }

  clear(queue: QueueType): void {
    if (queue === OUTPUT) return; // no picture buffer is ever kept
    this.#input = undefined;
    this.#whole = false;
    this.#pictures.length = 0;
    this.#cutter.reset();
  }

  release(): void {}
  pause(): void {}
  resume(): void {}

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#input = undefined;
    this.#pictures.length = 0;
  }
}

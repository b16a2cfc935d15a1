// The stream of a sender as the source of the device: an output of a receiver, in both flows. It outlives its senders: without one the
// guest sees the stand-by picture, and a sender of another size or format is converted.
import { copyMemory } from "../../ffi/copy.ts";
import { addressOf } from "../../ffi/libc.ts";
import { ProtocolError } from "../errors.ts";
import { formatText, isConvertible } from "../format/convertible.ts";
import { checkDecoded } from "../format/decoded.ts";
import { pixelFormat } from "../format/formats.ts";
import { type Picture, pictureBytes } from "../format/picture-layout.ts";
import { unfitText } from "../format/rows.ts";
import type { FrameFacts } from "../frame/frame.ts";
import type { FrameBuffer } from "../frame/memory.ts";
import type { StreamOutput, StreamWriter, Taken, WriterCalls } from "../frame/stream-output.ts";
import type { DeviceLoop } from "../virtio/virtio-device.ts";
import type { MediaSource, Viewer } from "./media-source.ts";
import type { FormatOffer, Interval, Mode } from "./offers.ts";

export interface StreamSourceOptions {
  /** Where senders connect to, for the stand-by picture. */
  readonly name: string;
  readonly offers: readonly FormatOffer[];
  /** Bytes of the largest picture, decoded. */
  readonly maxFrame: number;
}

export class StreamSource implements MediaSource, StreamOutput {
  readonly name: string;
  readonly offers: readonly FormatOffer[];
  readonly controls = undefined;
  readonly #maxFrame: number;
  #viewer: Viewer | undefined;
  /** Announces the stream to a new viewer. */
  #later: Disposable | undefined;
  #stream: GuestWriter | undefined;

  constructor({ name, offers, maxFrame }: StreamSourceOptions) {
    this.name = name;
    this.offers = offers;
    this.#maxFrame = maxFrame;
  }

  /** Whoever shows the stream now. */
  get viewer(): Viewer | undefined {
    return this.#viewer;
  }

  start(loop: DeviceLoop, _mode: Mode, _interval: Interval, viewer: Viewer): void {
    this.stop();
    // The guest gets its answer before the first picture.
    this.#later = loop.after(0, () => {
      this.#viewer = viewer;
      if (this.#stream === undefined) this.#lost();
      else viewer.begin(this.#stream.picture, undefined);
    });
  }

  stop(): void {
    this.#later?.[Symbol.dispose]();
    this.#later = undefined;
    this.#viewer = undefined;
  }

  #lost(): void {
    this.#viewer?.lost(["NO SIGNAL", "waiting for a sender", this.name]);
  }

  begin(picture: Picture, calls: WriterCalls): StreamWriter {
    const { width, height, pixelformat, sizeimage } = picture;
    if (!isConvertible(pixelformat))
      throw new ProtocolError(`hello: ${formatText(picture)} cannot be shown to the guest`);
    const format = pixelFormat(pixelformat);
    if (format === undefined) checkDecoded(picture, this.#maxFrame);
    else if (sizeimage < pictureBytes(format, width, height))
      throw new ProtocolError(`hello: ${unfitText(format, picture, sizeimage)}`);
    const writer = new GuestWriter(this, picture, calls);
    this.#stream = writer;
    this.#viewer?.begin(picture, undefined);
    return writer;
  }

  /** A stream has ended. */
  ended(writer: GuestWriter): void {
    if (this.#stream !== writer) return;
    this.#stream = undefined;
    this.#lost();
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}

/** The frames of one stream. Each is copied once, during the call: its memory is free again afterwards. */
class GuestWriter implements StreamWriter {
  readonly picture: Picture;
  readonly #source: StreamSource;
  readonly #calls: WriterCalls;
  readonly #buffers: FrameBuffer[] = [];
  readonly #piece = { address: 0, length: 0 };
  readonly #shown = { pieces: [this.#piece], bytesused: 0, tsSec: 0, tsUsec: 0 };
  /** For frames in memory that another stream may overwrite: they are shown when it is known that none has. */
  #own: Uint8Array<ArrayBuffer> | undefined;

  constructor(source: StreamSource, picture: Picture, calls: WriterCalls) {
    this.#source = source;
    this.picture = picture;
    this.#calls = calls;
  }

  add(index: number, buffer: FrameBuffer): void {
    this.#buffers[index] = buffer;
  }

  write(index: number, { bytesused }: FrameFacts): Taken {
    const buffer = this.#buffers[index];
    if (buffer === undefined) throw new RangeError(`buffer ${index} of ${this.#buffers.length}`);
    const { viewer } = this.#source;
    const { address, length } = buffer.mapping;
    if (viewer === undefined || bytesused > length) return "taken";
    const at = buffer.changed === undefined ? address : this.#copied(buffer, bytesused);
    if (at === undefined) {
      this.#calls.changed();
      return "taken";
    }
    this.#piece.address = at;
    this.#piece.length = bytesused;
    this.#shown.bytesused = bytesused;
    viewer.show(this.#shown);
    return "taken";
  }

  /** The address of a copy; undefined when the memory has changed meanwhile. */
  #copied({ mapping, changed }: FrameBuffer, bytes: number): number | undefined {
    this.#own ??= new Uint8Array(new ArrayBuffer(Math.max(1, mapping.length)));
    const own = addressOf(this.#own);
    copyMemory(own, mapping.address, Math.min(bytes, this.#own.length));
    return changed?.() === true ? undefined : own;
  }

  [Symbol.dispose](): void {
    this.#source.ended(this);
  }
}

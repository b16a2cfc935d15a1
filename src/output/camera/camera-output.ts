// A camera device as the output of a receiver. Frames go into the node as they are, or converted; without frames it gets a
// stand-by picture, so that programs that read the camera never see an error.
import { copyMemory } from "../../../ffi/copy.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { log } from "../../cli/log.ts";
import { OutputLost, ProtocolError, UnavailableError } from "../../errors.ts";
import { formatText, isConvertible } from "../../format/convertible.ts";
import type { Picture, PictureFormat } from "../../format/picture-layout.ts";
import { StandbyCard } from "../../format/standby-card.ts";
import type { Allocator, FrameBuffer } from "../../frame/memory.ts";
import type { StreamOutput, StreamWriter, WriterCalls } from "../../frame/stream-output.ts";
import type { Loop } from "../../loop.ts";
import type { OutputNode } from "../../v4l2/output-device.ts";
import type { NodeFormat } from "../../v4l2/output-format.ts";
import type { Lent } from "../../v4l2/output-lending.ts";
import { type CameraFormatOptions, firstFormat, wantedFormat } from "./camera-formats.ts";
import { CameraNode } from "./camera-node.ts";
import { CameraState, sameFormat } from "./camera-state.ts";
import { CameraWriter, type FrameTaker } from "./camera-writer.ts";
import { LentFrames } from "./lent-frames.ts";
import { RateMeter } from "./rate-meter.ts";

/** How often silence and readers are looked at. */
const TICK_MS = 100;

export interface CameraOptions extends CameraFormatOptions {
  /** What is shown without a signal. */
  readonly standby: "card" | "last";
  /** Show the stand-by picture from the start, before the first sender. */
  readonly fromStart: boolean;
  /** Limit in bytes for a compressed picture when it is decoded. */
  readonly maxFrame: number;
  /** Where a sender has to connect to, for the card. */
  readonly where: () => string;
  /** Called when the node cannot be written outside of a stream. */
  readonly lost: (error: unknown) => void;
  /** Called when the number of programs that read the camera has changed; undefined: the camera is gone. */
  readonly readers?: ((path: string, count: number | undefined) => void) | undefined;
  /** Opens a DMA heap. With this, frames are shown where they are, where the driver can. */
  readonly openHeap?: (() => Allocator) | undefined;
}

export class CameraOutput implements StreamOutput, FrameTaker {
  /** Frames of senders that were written. */
  frames = 0;
  /** Of these, the frames that were copied to be shown. */
  copied = 0;
  /** Frames that were left out: the driver had all buffers, or the frame was damaged. */
  leftOut = 0;
  readonly name: string;
  readonly #options: CameraOptions;
  readonly #node: CameraNode;
  readonly #state = new CameraState();
  readonly #rate = new RateMeter();
  readonly #owned = new DisposableStack();
  readonly #said = new Set<string>();
  readonly #lent: LentFrames;
  #format: NodeFormat | undefined;
  #writer: CameraWriter | undefined;
  #card: StandbyCard | undefined;
  /** A copy of the last frame, for --standby last. */
  #last: Uint8Array<ArrayBuffer> | undefined;
  #lastAt = 0;
  #lastBytes = 0;

  /** Opens the node. Throws UnavailableError. */
  constructor(loop: Loop, openNode: () => OutputNode, options: CameraOptions) {
    this.#options = options;
    this.#node = this.#owned.use(new CameraNode(openNode, this.#lendingOn(loop)));
    this.#lent = this.#owned.use(new LentFrames(loop, this.#node, options.lost));
    this.name = this.#node.path;
    using opened = new DisposableStack();
    opened.use(this.#owned);
    this.#takeReaders();
    if (options.fromStart) {
      this.#setFormat({ ...firstFormat(options), sizeimage: 0 });
      this.#state.standBy(performance.now());
      this.#tick();
    }
    this.#owned.use(loop.every(TICK_MS, () => this.#tickOrLose()));
    opened.move();
  }

  /** What showing frames where they are needs. The last picture can be shown again only when it was copied. */
  #lendingOn(loop: Loop) {
    const { openHeap, standby, lost: failed } = this.#options;
    if (openHeap === undefined || standby === "last") return undefined;
    return { loop, openHeap, failed, returned: (index: number) => this.#writer?.returned(index) };
  }

  /** Whether the driver says how many programs read the camera. */
  get countsReaders(): boolean {
    return this.#node.countsReaders;
  }

  begin(stream: Picture, calls: WriterCalls): StreamWriter {
    const writer = new CameraWriter(this, stream, calls, this.#options.maxFrame);
    this.#rate.restart();
    this.#fitNode(writer); // when it fails, the camera stands by
    this.#writer = writer;
    return writer;
  }

  ended(writer: CameraWriter): void {
    if (this.#writer !== writer) return;
    this.#writer = undefined;
    this.#lent.dismiss();
    if (this.#state.phase === "live") this.#state.standBy(performance.now());
  }

  /** Makes the node and the stream fit: gives the node another format, or has the frames converted. */
  #fitNode(writer: CameraWriter): void {
    const { stream } = writer;
    const wanted = wantedFormat(stream, this.#options);
    if (this.#state.plan(wanted) === "change")
      this.#setFormat({ ...wanted, sizeimage: stream.sizeimage });
    const format = this.#format;
    if (format === undefined) throw new Error("a camera without a format");
    writer.fit(format, sameFormat(format, wanted) ? undefined : this.#holder());
  }

  #holder(): string {
    return (this.#state.readers ?? 0) > 0 ? "a program that reads it" : "the driver";
  }

  #setFormat(wish: PictureFormat & Pick<Picture, "sizeimage">): void {
    // A JPEG is smaller than two bytes a pixel; for other formats the driver knows the size.
    const sizeimage = Math.max(wish.sizeimage, wish.width * wish.height * 2);
    const format = this.#onNode(() => this.#node.setFormat({ ...wish, sizeimage }));
    this.#format = format;
    this.#state.setFormat(format, wish);
    this.#card?.[Symbol.dispose]();
    this.#card = undefined;
    this.#last = undefined;
    this.#lastBytes = 0;
    if (this.#options.standby === "last" && format.bytes > 0) {
      this.#last = new Uint8Array(new ArrayBuffer(format.bytes));
      this.#lastAt = addressOf(this.#last);
    }
    log.info(`${this.name} (${this.#node.card}): a camera of ${formatText(format)}`);
  }

  /** A node that cannot be used any more is no fault of the sender. */
  #onNode<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof UnavailableError) || this.#state.phase === "idle") throw error;
      throw new OutputLost(error.message, { cause: error });
    }
  }

  putFrame(address: number, length: number): void {
    if (!this.#node.put(address, length)) {
      this.#leaveOutFull();
      return;
    }
    if (this.#last !== undefined) {
      copyMemory(this.#lastAt, address, length);
      this.#lastBytes = length;
    }
    this.copied += 1;
    this.#count();
  }

  #count(): void {
    this.frames += 1;
    this.#rate.frame();
    this.#state.frame(performance.now());
  }

  admit(index: number, buffer: FrameBuffer): boolean {
    const why = this.#lent.admit(index, buffer);
    if (why === undefined) return true;
    if (why !== "" && !this.#said.has(why))
      log.info(`${this.name}: each frame is copied once: ${why}`);
    this.#said.add(why);
    return false;
  }

  lendFrame(index: number, buffer: FrameBuffer, length: number): Lent {
    const lent = this.#lent.lend(index, buffer, length);
    if (lent === "held") this.#count();
    else if (lent === "full") this.#leaveOutFull();
    return lent;
  }

  #leaveOutFull(): void {
    this.leaveOut("full", "the driver has all buffers, a frame is left out");
  }

  leaveOut(kind: string, text: string): void {
    this.leftOut += 1;
    if (this.#said.has(kind)) return;
    this.#said.add(kind);
    log.warn(`${this.name}: ${text}; later ones are left out without a warning`);
  }

  #tickOrLose(): void {
    try {
      this.#tick();
    } catch (error) {
      // The node has a format now that the stream cannot be converted to: that ends the stream, and the camera stands by.
      if (error instanceof ProtocolError && this.#writer !== undefined) this.#writer.failed(error);
      else this.#options.lost(error);
    }
  }

  #tick(): void {
    this.#takeReaders();
    const writer = this.#writer;
    if (
      writer !== undefined &&
      this.#state.plan(wantedFormat(writer.stream, this.#options)) === "change"
    )
      this.#fitNode(writer);
    const fps = this.#rate.news();
    if (fps !== undefined) this.#node.setRate(fps);
    if (this.#state.due(performance.now())) this.#showStandby();
  }

  #takeReaders(): void {
    const readers = this.#node.newReaders();
    if (readers === undefined || readers === this.#state.readers) return;
    this.#state.readers = readers;
    this.#options.readers?.(this.name, readers);
  }

  #showStandby(): void {
    const format = this.#format;
    if (format === undefined) return;
    if (this.#lastBytes > 0) {
      this.#node.put(this.#lastAt, this.#lastBytes);
      return;
    }
    if (!isConvertible(format.pixelformat)) return; // no card can be made: readers wait
    this.#card ??= new StandbyCard(format);
    const card = this.#card.with(this.#cardLines());
    if (card.length > 0) this.#node.put(card.address, card.length);
  }

  #cardLines(): readonly string[] {
    const ago = performance.now() - this.#state.silentSinceMs;
    const since = new Date(Math.round((Date.now() - ago) / 1000) * 1000);
    const time = since.toTimeString().slice(0, 8);
    const where = this.#options.where();
    return ["no signal", `since ${time}`, where];
  }

  [Symbol.dispose](): void {
    this.#card?.[Symbol.dispose]();
    this.#card = undefined;
    this.#owned.dispose();
    this.#options.readers?.(this.name, undefined);
  }
}

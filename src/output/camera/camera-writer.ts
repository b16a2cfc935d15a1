// The frames of one stream on their way into a camera: as they are where the node has their size, format and rows, otherwise
// converted.
import { copyMemory } from "../../../ffi/copy.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { log } from "../../cli/log.ts";
import { ProtocolError } from "../../errors.ts";
import { isTight } from "../../format/conversion.ts";
import { formatText, isConvertible } from "../../format/convertible.ts";
import { checkDecoded } from "../../format/decoded.ts";
import { type PixelFormat, pixelFormat } from "../../format/formats.ts";
import { MadePicture } from "../../format/made-picture.ts";
import { type Picture, pictureBytes } from "../../format/picture-layout.ts";
import { PictureMaker } from "../../format/picture-maker.ts";
import { RowFinder, unfitText } from "../../format/rows.ts";
import type { FrameFacts } from "../../frame/frame.ts";
import type { FrameBuffer } from "../../frame/memory.ts";
import type { StreamWriter, Taken, WriterCalls } from "../../frame/stream-output.ts";
import type { NodeFormat } from "../../v4l2/output-format.ts";
import type { Lent } from "../../v4l2/output-lending.ts";
import { sameFormat } from "./camera-state.ts";

/** The camera, for its writers. */
export interface FrameTaker {
  readonly name: string;
  /** Writes a picture that lies as the node's format says. Throws SysError. */
  putFrame(address: number, bytes: number): void;
  /** Prepares to show frames where they are in `buffer`. False where each has to be copied. */
  admit(index: number, buffer: FrameBuffer): boolean;
  /** Shows the picture in an admitted buffer. "held": `returned` is called later. "refused": write it by `putFrame`. */
  lendFrame(index: number, buffer: FrameBuffer, bytes: number): Lent;
  /** Counts a frame that is not shown; `kind` is warned of once. */
  leaveOut(kind: string, text: string): void;
  /** The stream has ended. */
  ended(writer: CameraWriter): void;
}

export class CameraWriter implements StreamWriter {
  readonly stream: Picture;
  readonly #camera: FrameTaker;
  readonly #calls: WriterCalls;
  readonly #format: PixelFormat | undefined;
  readonly #rows: RowFinder | undefined;
  readonly #buffers: FrameBuffer[] = [];
  /** By buffer: whether its frames are shown where they are. Undefined: not decided yet. */
  readonly #admitted: (boolean | undefined)[] = [];
  #node: NodeFormat | undefined;
  /** Converts the frames; undefined when they go into the node as they are. */
  #maker: PictureMaker | undefined;
  #made: MadePicture | undefined;
  /** For frames in memory that another stream may overwrite. */
  #own: Uint8Array<ArrayBuffer> | undefined;

  /**
   * Throws ProtocolError when no frame of the stream can hold a picture, or a compressed one would have more than `maxFrame`
   * bytes.
   */
  constructor(camera: FrameTaker, stream: Picture, calls: WriterCalls, maxFrame: number) {
    this.#camera = camera;
    this.stream = stream;
    this.#calls = calls;
    this.#format = pixelFormat(stream.pixelformat);
    if (this.#format === undefined) {
      checkDecoded(stream, maxFrame);
      return;
    }
    this.#rows = new RowFinder(this.#format, stream);
    if (stream.sizeimage < pictureBytes(this.#format, stream.width, stream.height))
      throw new ProtocolError(`hello: ${unfitText(this.#format, stream, stream.sizeimage)}`);
  }

  /** The node has that format now. Where it is not the one that the stream wants, `holder` is the reason. */
  fit(node: NodeFormat, holder: string | undefined): void {
    this.#drop();
    this.#admitted.length = 0;
    this.#node = node;
    if (sameFormat(node, this.stream) && node.tight) return;
    this.#convert(node);
    const why = holder === undefined ? "" : `, which ${holder} holds`;
    log.info(
      `${this.#camera.name}: ${formatText(this.stream)} is converted to ${formatText(node)}${why}`,
    );
  }

  #convert(node: NodeFormat): PictureMaker {
    if (!isConvertible(node.pixelformat))
      throw new ProtocolError(
        `hello: ${formatText(this.stream)} cannot be converted to ${formatText(node)}, which the camera has`,
      );
    using made = new DisposableStack();
    const picture = made.use(new MadePicture(node));
    this.#maker = new PictureMaker(this.stream, picture);
    this.#made = picture;
    made.move();
    return this.#maker;
  }

  add(index: number, buffer: FrameBuffer): void {
    this.#buffers[index] = buffer;
  }

  write(index: number, { bytesused }: FrameFacts): Taken {
    const buffer = this.#buffers[index];
    if (buffer === undefined) throw new RangeError(`buffer ${index} of ${this.#buffers.length}`);
    const maker = this.#makerFor(bytesused);
    if (maker !== undefined) this.#make(maker, buffer, bytesused);
    else if (this.#fits(bytesused)) return this.#show(index, buffer, bytesused);
    return "taken";
  }

  #show(index: number, buffer: FrameBuffer, bytes: number): Taken {
    const admitted = this.#admitted[index] ?? this.#camera.admit(index, buffer);
    this.#admitted[index] = admitted;
    const length = Math.min(bytes, this.#node?.bytes ?? 0);
    const lent = admitted ? this.#camera.lendFrame(index, buffer, length) : "refused";
    if (lent === "held") return "held";
    if (lent === "refused") this.#pass(buffer, length);
    return "taken";
  }

  /** The camera does not read buffer `index` any more. */
  returned(index: number): void {
    this.#calls.returned(index);
  }

  /** The stream does not fit the camera any more. */
  failed(error: ProtocolError): void {
    this.#calls.failed(error);
  }

  /** Rows may be padded although the stream's format is the node's. Throws ProtocolError for a frame without a picture. */
  #makerFor(bytes: number): PictureMaker | undefined {
    const format = this.#format;
    if (this.#rows === undefined || format === undefined) return this.#maker;
    const rows = this.#rows.find(bytes);
    if (rows === undefined)
      throw new ProtocolError(`frame: ${unfitText(format, this.stream, bytes)}`);
    if (this.#maker !== undefined || this.#node === undefined) return this.#maker;
    return rows === "short" || isTight(rows) ? undefined : this.#convert(this.#node);
  }

  #make(maker: PictureMaker, buffer: FrameBuffer, bytes: number): void {
    const wrong = maker.make(buffer.mapping.address, bytes);
    if (this.#hasChanged(buffer)) return;
    const { address = 0, length = 0 } = this.#made ?? {};
    if (wrong !== undefined) this.#camera.leaveOut("damaged", `a frame is left out: ${wrong}`);
    else if (length > 0) this.#camera.putFrame(address, length);
    else
      this.#camera.leaveOut(
        "size",
        "a frame is left out: its JPEG is larger than the camera takes",
      );
  }

  /** Whether the node takes a frame of that length as it is. */
  #fits(bytes: number): boolean {
    const most = this.#node?.bytes ?? 0;
    const fits = this.#format === undefined ? bytes > 0 && bytes <= most : bytes >= most;
    if (!fits)
      this.#camera.leaveOut(
        "size",
        `a frame of ${bytes} bytes is left out, the camera takes ${most}`,
      );
    return fits;
  }

  #pass(buffer: FrameBuffer, length: number): void {
    const { address } = buffer.mapping;
    if (buffer.changed === undefined) {
      this.#camera.putFrame(address, length);
      return;
    }
    // What is in the node is shown: so a frame that may be overwritten meanwhile is copied first.
    this.#own ??= new Uint8Array(new ArrayBuffer(this.#node?.bytes ?? 0));
    const own = addressOf(this.#own);
    copyMemory(own, address, length);
    if (!this.#hasChanged(buffer)) this.#camera.putFrame(own, length);
  }

  #hasChanged({ changed }: FrameBuffer): boolean {
    if (changed?.() !== true) return false;
    this.#calls.changed();
    return true;
  }

  #drop(): void {
    this.#maker?.[Symbol.dispose]();
    this.#maker = undefined;
    this.#made?.[Symbol.dispose]();
    this.#made = undefined;
    this.#own = undefined;
  }

  [Symbol.dispose](): void {
    this.#drop();
    this.#camera.ended(this);
  }
}

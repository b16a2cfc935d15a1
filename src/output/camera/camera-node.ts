// The device node of a virtual camera: opened, given a format, written, and opened again for another format, because a stream
// of write() ends only with its descriptor.
import type { Picture, PictureFormat } from "../../format/picture-layout.ts";
import type { FrameBuffer } from "../../frame/memory.ts";
import { examineOutput, type OutputDevice, type OutputNode } from "../../v4l2/output-device.ts";
import { agreeOnNodeFormat, type NodeFormat, setNodeRate } from "../../v4l2/output-format.ts";
import type { Lending, Lent, OutputStream } from "../../v4l2/output-lending.ts";
import { ReaderCount } from "../../v4l2/output-readers.ts";
import { openOutputStream } from "../../v4l2/output-stream.ts";

export class CameraNode implements Disposable {
  readonly #openNode: () => OutputNode;
  readonly #lending: Lending | undefined;
  #open: Opened;
  #stream: OutputStream | undefined;

  /** Opens the node. Without `lending` every picture is copied. Throws UnavailableError when it is no output. */
  constructor(openNode: () => OutputNode, lending: Lending | undefined) {
    this.#openNode = openNode;
    this.#lending = lending;
    this.#open = open(openNode);
  }

  get path(): string {
    return this.#open.node.path;
  }
  get card(): string {
    return this.#open.device.card;
  }
  /** Whether the driver says how many programs read the node. */
  get countsReaders(): boolean {
    return this.#open.count !== undefined;
  }

  /** The number of readers, when it has changed since the last call. */
  newReaders(): number | undefined {
    return this.#open.count?.take();
  }

  /** Sets the format; the driver's answer may be another one. Throws UnavailableError. */
  setFormat(wish: PictureFormat & Pick<Picture, "sizeimage">): NodeFormat {
    if (this.#stream !== undefined) {
      this.#close();
      this.#open = open(this.#openNode);
    }
    const { node, device } = this.#open;
    const format = agreeOnNodeFormat(node, device, wish);
    this.#stream = openOutputStream(node, device, format, this.#lending);
    return format;
  }

  /** OutputStream.put; false also before a format was set. */
  put(address: number, bytes: number): boolean {
    return this.#stream?.put(address, bytes) ?? false;
  }

  /** OutputStream.admit. */
  admit(index: number, buffer: FrameBuffer): string | undefined {
    return this.#stream === undefined ? "it has no format" : this.#stream.admit(index, buffer);
  }

  /** OutputStream.lend. */
  lend(index: number, bytes: number): Lent {
    return this.#stream?.lend(index, bytes) ?? "refused";
  }

  /** Buffers whose pictures the driver reads now. */
  get lentCount(): number {
    return this.#stream?.lentCount ?? 0;
  }

  /** OutputStream.dismiss. */
  dismiss(): void {
    this.#stream?.dismiss();
  }

  /** Tells readers the frame rate. */
  setRate(fps: number): void {
    setNodeRate(this.#open.node, this.#open.device, fps);
  }

  #close(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
    this.#open.node[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

interface Opened {
  readonly node: OutputNode;
  readonly device: OutputDevice;
  readonly count: ReaderCount | undefined;
}

function open(openNode: () => OutputNode): Opened {
  using owned = new DisposableStack();
  const node = owned.use(openNode());
  const device = examineOutput(node);
  const count = ReaderCount.of(node, device);
  owned.move();
  return { node, device, count };
}

// Writes the frames of one stream to an output. It keeps no address of a buffer longer than the stream lasts.
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from "../../ffi/epoll.ts";
import { Gather, type Piece } from "../../ffi/gather.ts";
import { addressOf } from "../../ffi/libc.ts";
import type { Memory } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { ProtocolError } from "../errors.ts";
import { fourccName, type PixelFormat, pixelFormat } from "../format/formats.ts";
import { type Picture, pictureBytes } from "../format/picture-layout.ts";
import { isPlanar, PlanarCopy, planarBytes, type WordView, wordView } from "../format/planar.ts";
import { type PlaneRows, RowFinder, unfitText } from "../format/rows.ts";
import type { FrameFacts } from "../frame/frame.ts";
import type { FrameBuffer } from "../frame/memory.ts";
import type { StreamWriter, Taken, WriterCalls } from "../frame/stream-output.ts";
import type { Loop, Watch } from "../loop.ts";
import type { Sink } from "./sink.ts";
import { y4mFrameMark } from "./y4m.ts";

/** Where the frames go. */
export interface FrameOutput {
  readonly name: string;
  /** Frames are written as YUV4MPEG2 where their format has that form. */
  readonly y4m: boolean;
  /** What the frames of a stream are written to; opened when the first frame needs it. Throws SysError. */
  sinkFor(picture: Picture, colourSpace: string | undefined): Sink;
  /** Counts a frame that is shorter than a picture. */
  leftOut(bytes: number, least: number): void;
}

interface Slot {
  readonly memory: Memory;
  readonly changed: (() => boolean) | undefined;
  readonly view: WordView | undefined;
  /** The rows that `gather` was made for. */
  rows: readonly PlaneRows[] | undefined;
  gather: Gather | undefined;
}

/** A frame that a full pipe did not take. */
interface Pending {
  readonly watch: Watch;
  readonly sink: Sink;
  /** Undefined when the rest of the frame is in memory of the sink. */
  readonly gather: Gather | undefined;
  readonly memory: Memory;
}

export class FrameWriter implements StreamWriter {
  readonly #loop: Loop;
  readonly #output: FrameOutput;
  readonly #picture: Picture;
  readonly #calls: WriterCalls;
  readonly #format: PixelFormat | undefined;
  readonly #rows: RowFinder | undefined;
  readonly #colourSpace: string | undefined;
  readonly #least: number;
  readonly #slots: Slot[] = [];
  /** The picture with a plane per component, for a format that has none. Made once. */
  readonly #planar: { readonly copy: PlanarCopy; readonly gather: Gather } | undefined;
  #sink: Sink | undefined;
  #pending: Pending | undefined;

  /** Throws ProtocolError when no frame of the stream can hold a picture. */
  constructor(loop: Loop, output: FrameOutput, picture: Picture, calls: WriterCalls) {
    this.#loop = loop;
    this.#output = output;
    this.#picture = picture;
    this.#calls = calls;
    const { width, height, sizeimage } = picture;
    const format = pixelFormat(picture.pixelformat);
    this.#format = format;
    this.#rows = format && new RowFinder(format, picture);
    this.#least = format ? pictureBytes(format, width, height) : 1;
    if (format !== undefined && sizeimage < this.#least) {
      throw new ProtocolError(`hello: ${unfitText(format, picture, sizeimage)}`);
    }
    this.#colourSpace = output.y4m ? format?.y4m : undefined;
    if (output.y4m && this.#colourSpace === undefined) {
      log.warn(
        `${fourccName(picture.pixelformat)} has no YUV4MPEG2 form; ${output.name} gets raw frames without a header`,
      );
    }
    if (format === undefined || this.#colourSpace === undefined || isPlanar(format)) return;
    const planes = new Uint8Array(new ArrayBuffer(planarBytes(format, width, height)));
    this.#planar = {
      copy: new PlanarCopy(format, width, height, planes),
      gather: new Gather([markPiece(), { address: addressOf(planes), length: planes.length }]),
    };
  }

  add(index: number, { mapping: memory, changed }: FrameBuffer): void {
    const view = this.#planar && wordView(memory.address, memory.bytes);
    this.#slots[index] = { memory, changed, view, rows: undefined, gather: undefined };
  }

  /**
   * Writes the frame in buffer `index`; it waits when a pipe is full. Throws SysError, ReaderLeft, or ProtocolError for a frame that holds no picture; a file then ends after the last
   * whole frame.
   */
  write(index: number, frame: FrameFacts): Taken {
    const slot = this.#slots[index];
    if (slot === undefined) throw new RangeError(`buffer ${index} of ${this.#slots.length}`);
    const { bytesused } = frame;
    if (bytesused < this.#least || this.#rows?.find(bytesused) === "short") {
      this.#output.leftOut(bytesused, this.#least);
      return "taken";
    }
    const gather = this.#gatherFor(slot, bytesused);
    // A converted picture is in memory of our own from here on.
    const ours = gather === this.#planar?.gather;
    if (ours && this.#hasChanged(slot)) return "taken";
    this.#sink ??= this.#open();
    const sink = this.#sink;
    if (sink.write(gather)) {
      sink.rate.add(frame);
      if (!ours && this.#hasChanged(slot)) sink.revoke();
      return "taken";
    }
    const copied = !ours && slot.changed !== undefined;
    if (copied && !this.#copyRest(sink, gather, slot)) return "taken";
    sink.rate.add(frame);
    this.#wait(sink, gather, copied, slot.memory);
    return "waits";
  }

  #hasChanged({ changed }: Slot): boolean {
    if (changed?.() !== true) return false;
    this.#calls.changed();
    return true;
  }

  #open(): Sink {
    const sink = this.#output.sinkFor(this.#picture, this.#colourSpace);
    sink.rate.restart();
    return sink;
  }

  /** What writes the frame: its rows without padding, in the order of the file. */
  #gatherFor(slot: Slot, bytesused: number): Gather {
    const format = this.#format;
    if (format === undefined) {
      const { address, length } = slot.memory;
      slot.gather ??= new Gather([{ address, length }]);
      slot.gather.rewind(bytesused);
      return slot.gather;
    }
    const rows = this.#rows?.find(bytesused);
    if (rows === undefined || rows === "short") {
      throw new ProtocolError(`frame: ${unfitText(format, this.#picture, bytesused)}`);
    }
    if (this.#planar !== undefined && slot.view !== undefined) {
      this.#planar.copy.copy(rows, slot.view);
      this.#planar.gather.rewind();
      return this.#planar.gather;
    }
    if (slot.rows !== rows || slot.gather === undefined) {
      slot.rows = rows;
      slot.gather = new Gather(this.#pieces(format, rows, slot.memory.address));
    }
    slot.gather.rewind();
    return slot.gather;
  }

  #pieces(format: PixelFormat, rows: readonly PlaneRows[], address: number): Piece[] {
    const inFile = this.#colourSpace !== undefined;
    const order = inFile ? format.components.map(({ plane }) => plane) : [...rows.keys()];
    const pieces: Piece[] = inFile ? [markPiece()] : [];
    for (const plane of order) {
      const { offset, rowBytes, rows: count, stride } = rows[plane] as PlaneRows;
      const at = address + offset;
      if (stride === rowBytes) pieces.push({ address: at, length: rowBytes * count });
      else
        for (let y = 0; y < count; y++) pieces.push({ address: at + y * stride, length: rowBytes });
    }
    return pieces;
  }

  /**
   * Copies what a full pipe has not taken, because another stream may overwrite it while the pipe is full. Returns false
   * when that has happened already: of a frame that was not begun nothing is written then.
   */
  #copyRest(sink: Sink, gather: Gather, slot: Slot): boolean {
    const begun = gather.left < gather.total;
    const bytes = gather.rest();
    const changed = this.#hasChanged(slot);
    if (changed && !begun) return false;
    sink.keep(bytes);
    return true;
  }

  /** Goes on when the pipe has room. `kept`: the rest of the frame is in memory of the sink. */
  #wait(sink: Sink, gather: Gather, kept: boolean, memory: Memory): void {
    const go = () => (kept ? sink.flush() : sink.write(gather));
    const watch = this.#loop.watch(sink.fd.number, EPOLLOUT, (events) => {
      try {
        if (!go() && (events & (EPOLLERR | EPOLLHUP)) === 0) return;
        this.#stopWaiting();
        this.#calls.ready("taken");
      } catch (error) {
        this.#stopWaiting();
        this.#calls.failed(error);
      }
    });
    this.#pending = { watch, sink, gather: kept ? undefined : gather, memory };
  }

  #stopWaiting(): void {
    this.#pending?.watch[Symbol.dispose]();
    this.#pending = undefined;
  }

  /**
   * Ends the stream. The end of a frame that a full pipe took in part is copied, and written before the next frame. A
   * frame of which nothing was written is dropped.
   */
  [Symbol.dispose](): void {
    const pending = this.#pending;
    this.#stopWaiting();
    if (pending?.gather === undefined) return;
    const { sink, gather, memory } = pending;
    if (gather.left === 0 || gather.left === gather.total) return;
    if (memory.address > 0) sink.keep(gather.rest()); // address throws where the buffer was unmapped too early
  }
}

const markPiece = (): Piece => ({ address: addressOf(y4mFrameMark), length: y4mFrameMark.length });

// Where a receiver writes the frames of its streams: a file, a pipe, a camera, several of them, or the guests of a device.
import type { Picture } from "../format/picture-layout.ts";
import type { FrameFacts } from "./frame.ts";
import type { FrameBuffer } from "./memory.ts";

/**
 * What an output does with a frame. "taken": its memory is free again. "held": the output reads its memory until it calls
 * `returned`; the next frame may come. "waits": the output needs time (a full pipe) until it calls `ready` or `failed`; no
 * frame may come before.
 */
export type Taken = "taken" | "held" | "waits";

/** Callbacks of one stream. */
export interface WriterCalls {
  /** The frame that waited was written: it is "taken" now, or still "held" by another output. */
  readonly ready: (taken: Taken) => void;
  readonly failed: (error: unknown) => void;
  /** The memory of buffer `index`, whose frame was held, is free again. */
  readonly returned: (index: number) => void;
  /** A frame's memory was given to another stream while it was read: the frame is not delivered. */
  readonly changed: () => void;
}

/** Writes the frames of one stream; dispose it when the stream ends. */
export interface StreamWriter extends Disposable {
  /** Adds a buffer, which the caller keeps alive while the writer exists. */
  add(index: number, buffer: FrameBuffer): void;
  /** Writes the frame in buffer `index`. Throws SysError, ReaderLeft, or ProtocolError for a frame that holds no picture. */
  write(index: number, frame: FrameFacts): Taken;
}

export interface StreamOutput extends Disposable {
  /** Path of the file or device, "stdout", for messages. */
  readonly name: string;
  /** Begins a stream. Throws ProtocolError when its frames cannot be written here. */
  begin(picture: Picture, calls: WriterCalls): StreamWriter;
}

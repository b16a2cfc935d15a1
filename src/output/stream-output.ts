// Where a receiver writes the frames of its streams: a file, a pipe, a camera, or several of them.
import type { Memory } from "../../ffi/mapping.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { FrameFacts } from "../frame/frame.ts";

/** Callbacks of one stream. */
export interface WriterCalls {
  /** A frame that waited for a pipe was written. */
  readonly ready: () => void;
  readonly failed: (error: unknown) => void;
  /** A frame's memory was given to another stream while it was read: the frame is not delivered. */
  readonly changed: () => void;
}

/** Writes the frames of one stream; dispose it when the stream ends. */
export interface StreamWriter extends Disposable {
  /** Adds a buffer. `changed` returns whether its memory was given to another stream since the frame came. */
  add(index: number, memory: Memory, changed?: () => boolean): void;
  /**
   * Writes the frame in buffer `index`. Returns false when that needs time (a full pipe); `ready` or `failed` is then called
   * later. Throws SysError, ReaderLeft, or ProtocolError for a frame that holds no picture.
   */
  write(index: number, frame: FrameFacts): boolean;
}

export interface StreamOutput extends Disposable {
  /** Path of the file or device, "stdout", for messages. */
  readonly name: string;
  /** Begins a stream. Throws ProtocolError when its frames cannot be written here. */
  begin(picture: Picture, calls: WriterCalls): StreamWriter;
}

// Where a receiver writes the frames of its streams: a file, a pipe, a camera device, or several of them.
import type { Memory } from "../../ffi/mapping.ts";
import type { Picture } from "../format/picture-layout.ts";

/**
 * Writes a frame, the first `bytes` bytes of the writer's memory. Answers false when that needs time (a full pipe): the frame
 * has to stay until `ready` or `failed` is called. Throws SysError.
 */
export type FrameWriter = (
  bytes: number,
  ready: () => void,
  failed: (error: unknown) => void,
) => boolean;

export interface FrameOutput extends Disposable {
  /** Path of the file or device, "stdout", for messages. */
  readonly name: string;
  /** Frames written completely. */
  readonly frames: number;
  /** Called when a stream begins. Throws ProtocolError when the stream cannot be written. */
  begin(picture: Picture): void;
  /** Called once per buffer of the stream, after `begin`. */
  writerFor(memory: Memory): FrameWriter;
  /** Called when the stream has ended. Its buffers are not read any more. */
  end(): void;
}

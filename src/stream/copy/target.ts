// Where received frames go: the target says where to receive a frame, and takes it when it is complete.
import type { FrameHeader } from "./messages.ts";

/** The destination of one stream. The connection's receiver owns it. */
export interface Target extends Disposable {
  /** Address of at least `header.bytesused` bytes where this frame is to be received. Throws SysError. */
  begin(header: FrameHeader): number;
  /**
   * Takes the complete frame. Returns false when that needs time (a full pipe): no frame is received until
   * `waiting.ready` or `waiting.failed` is called. Throws SysError or ProtocolError.
   */
  complete(header: FrameHeader): boolean;
}

// Where received frames go: a place to receive each one into, and somebody to take it when it is complete.
import type { FrameHeader } from "./messages.ts";

/** One stream's destination. Its owner is the reception; `dispose` ends it. */
export interface Target extends Disposable {
  /** Address of at least `header.bytesused` bytes where this frame is to be received. Throws SysError. */
  begin(header: FrameHeader): number;
  /**
   * The frame is complete. Answers false when it has to be waited for (a full pipe); then `waiting.ready` is
   * called once the next frame may come, or `waiting.failed`. Throws SysError or ProtocolError.
   */
  complete(header: FrameHeader): boolean;
}

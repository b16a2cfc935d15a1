// Where the frames of a zero-copy stream go: the target reads them in the sender's buffers.
import type { StreamInfo } from "../../frame/frame.ts";
import type { FrameBuffer } from "../../frame/memory.ts";
import type { Taken } from "../../frame/stream-output.ts";
import type { Waiting } from "../connection.ts";
import { Consumer, type ConsumerOptions } from "../consumer.ts";
import type { ZcFrame } from "./messages.ts";

/** Reads the frames of one stream. The connection's receiver owns it and disposes it before the buffers are unmapped. */
export interface ViewTarget extends Disposable {
  /**
   * Reads `frame`, which is in buffer `index`. "taken": it may be returned to the sender. "held": when `waiting.returned` is
   * called. "waits" (a full pipe): `waiting.ready` or `waiting.failed` is called later. Throws SysError or ProtocolError.
   */
  take(index: number, frame: ZcFrame): Taken;
}

/** Opens the target of a stream. `buffers` are in the order of their handles. Throws ProtocolError to refuse the stream. */
export type OpenView = (
  stream: StreamInfo,
  buffers: readonly FrameBuffer[],
  waiting: Waiting,
) => ViewTarget;

/** A target that checks, shows and writes frames in place. If none of these is requested, it does not read them. */
export const openConsumer =
  (options: ConsumerOptions): OpenView =>
  (stream, buffers, waiting) => {
    using opened = new DisposableStack();
    const consumer = opened.use(new Consumer(stream, options, waiting));
    for (const [i, buffer] of buffers.entries()) consumer.add(i, buffer);
    opened.move();
    return consumer;
  };

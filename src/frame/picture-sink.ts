// Where a receiver puts a copy of its newest picture, when a viewer asked for it.
import type { Picture } from "../format/picture-layout.ts";

export interface PictureSink {
  /** Whether a picture is wanted now. Costs one read of memory: asked for each frame. */
  readonly wanted: boolean;
  /**
   * Copies the picture in the `bytes` at `address`, which may be read during the call only. It is discarded when `changed`
   * answers true after that.
   */
  take(stream: Picture, address: number, bytes: number, changed?: () => boolean): void;
}

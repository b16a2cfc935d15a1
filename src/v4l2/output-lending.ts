// The interface of a stream of pictures into a node: pictures that are copied, and pictures that the driver reads in place.
import type { Allocator, FrameBuffer } from "../frame/memory.ts";
import type { Loop } from "../loop.ts";
import type { NodeFormat } from "./output-format.ts";

/**
 * The result of showing a picture in place. "held": the driver reads its memory until `returned` is called.
 * "full": the driver has enough pictures, this one is left out. "refused": it has to be copied.
 */
export type Lent = "held" | "full" | "refused";

export interface OutputStream extends Disposable {
  readonly format: NodeFormat;
  /** Buffers whose pictures the driver reads now. */
  readonly lentCount: number;
  /**
   * Shows the picture in the `bytes` at `address`, which lies as `format` says; the memory is free again afterwards. False
   * when the driver still has all buffers: the picture is left out. Throws SysError.
   */
  put(address: number, bytes: number): boolean;
  /** Prepares to show pictures that are in `buffer` without a copy, or answers why that is impossible. */
  admit(index: number, buffer: FrameBuffer): string | undefined;
  /** Shows the picture in the first `bytes` of admitted buffer `index`. Throws SysError. */
  lend(index: number, bytes: number): Lent;
  /** The owner of the admitted buffers frees them now: `returned` is not called for them any more. */
  dismiss(): void;
}

/** What showing pictures without a copy needs. */
export interface Lending {
  readonly loop: Loop;
  /** Opens the DMA heap for the pictures that are copied all the same: stand-by pictures, frames of another size. */
  readonly openHeap: () => Allocator;
  /** The picture in admitted buffer `index` is not read any more. */
  readonly returned: (index: number) => void;
  /** The node failed while its buffers were taken back. */
  readonly failed: (error: unknown) => void;
}

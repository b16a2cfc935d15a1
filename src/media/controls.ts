// The controls of a source, as guests see them.
import type { MediaError } from "./media-error.ts";

export interface MenuEntry {
  readonly index: number;
  /** The text, or the number of a menu of integers. */
  readonly value: string | bigint;
}

/** A control as VIDIOC_QUERY_EXT_CTRL describes it. */
export interface ControlRow {
  readonly id: number;
  /** V4L2_CTRL_TYPE_*. */
  readonly type: number;
  readonly name: string;
  readonly minimum: bigint;
  readonly maximum: bigint;
  readonly step: bigint;
  readonly default: bigint;
  /** V4L2_CTRL_FLAG_*. */
  readonly flags: number;
  readonly menu: readonly MenuEntry[];
}

/** The controls of a source. Only those with one integer value are offered, and headings. */
export interface Controls {
  /** By increasing id. Read again each time: setting one control may change the flags of another. */
  readonly rows: readonly ControlRow[];
  /** The value now. A MediaError when the device does not tell it. */
  get(row: ControlRow): bigint | MediaError;
  /** Sets a value that is in the range of `row`. The value that the device took, or a MediaError. */
  set(row: ControlRow, value: bigint): bigint | MediaError;
}

// The report of a device: what `framepass devices` knows about a node. JSON can hold all of it.
import type { Control } from "../v4l2/control-list.ts";
import type { FrameRates, SizeRange } from "../v4l2/format-list.ts";
import type { Kind } from "../v4l2/kinds.ts";

/** Pixels: one size, or all sizes of a range. */
export type Pixels = number | SizeRange;

export interface SizeReport {
  readonly width: Pixels;
  readonly height: Pixels;
  /** Frames per second; empty where the driver lists none. */
  readonly fps: FrameRates;
}

export interface FormatReport {
  readonly queue: "capture" | "output";
  /** A fourcc's name. */
  readonly format: string;
  readonly description: string;
  readonly compressed: boolean;
  readonly sizes: readonly SizeReport[];
}

export interface ControlReport extends Omit<Control, "min" | "max" | "step" | "default" | "value"> {
  readonly min: JsonInteger;
  readonly max: JsonInteger;
  readonly step: JsonInteger;
  readonly default: JsonInteger;
  readonly value?: JsonInteger;
}
/** A text beyond 2^53. */
export type JsonInteger = number | string;

/** What a node is and has. */
export interface DeviceReport {
  readonly node: string;
  readonly card: string;
  readonly driver: string;
  readonly bus: string;
  readonly kinds: readonly Kind[];
  readonly api: readonly ("single-planar" | "multi-planar")[];
  readonly streaming: boolean;
  readonly formats: readonly FormatReport[];
  /** The driver lists more than was read. */
  readonly cut: boolean;
  readonly controls?: readonly ControlReport[];
  /** The command line that uses it, if a tool can. */
  readonly use?: string;
  /** Why the node could not be asked; then all else is empty. */
  readonly problem?: string;
}

/** The report of a node that could not be asked. */
export const unknownDevice = (node: string, card: string, problem: string): DeviceReport => ({
  ...{ node, card, driver: "", bus: "", kinds: [], api: [] },
  ...{ streaming: false, formats: [], cut: false, problem },
});

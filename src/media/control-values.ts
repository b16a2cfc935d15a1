// Which control a guest means, and whether a value fits it: vidioc-queryctrl.rst, vidioc-g-ext-ctrls.rst.
import * as v from "../../ffi/linux/videodev2.ts";
import type { ControlRow, Controls } from "./controls.ts";
import { check, MediaError } from "./media-error.ts";

const NEXT = (v.V4L2_CTRL_FLAG_NEXT_CTRL | v.V4L2_CTRL_FLAG_NEXT_COMPOUND) >>> 0;
/** V4L2_CTRL_ID2WHICH: the class of a control. */
const CLASS_MASK = 0x0fff_0000;

export const classOf = (id: number): number => (id & CLASS_MASK) >>> 0;

/** Throws ENOTTY when the camera has no controls at all: no program asks again then. */
export function someControls(controls: Controls | undefined): Controls {
  if (controls === undefined || controls.rows.length === 0)
    throw new MediaError("ENOTTY", "the camera has no controls");
  return controls;
}

/** The control of that id, or the next one where the id has the flags for it. Throws MediaError. */
export function queried(controls: Controls, id: number): ControlRow {
  const plain = (id & ~NEXT) >>> 0;
  const next = (id & NEXT) >>> 0;
  // All controls here have one value: with only NEXT_COMPOUND there is none.
  const found =
    next === 0
      ? controls.rows.find((row) => row.id === plain)
      : (next & v.V4L2_CTRL_FLAG_NEXT_CTRL) !== 0
        ? controls.rows.find((row) => row.id > plain)
        : undefined;
  check(found !== undefined, "there is no such control");
  return found;
}

export function rowOf(controls: Controls, id: number): ControlRow {
  const row = controls.rows.find((one) => one.id === id);
  check(row !== undefined, "there is no such control");
  return row;
}

export const isLong = ({ type }: ControlRow): boolean => type === v.V4L2_CTRL_TYPE_INTEGER64;
const isMenu = ({ type }: ControlRow) =>
  type === v.V4L2_CTRL_TYPE_MENU || type === v.V4L2_CTRL_TYPE_INTEGER_MENU;

/** The value as 32 bits: bitmasks have no sign. */
export const shortOf = (value: bigint): number => Number(BigInt.asIntN(32, value));

/** A value of 32 bits as the control means it. */
export const fromShort = ({ type }: ControlRow, value: number): bigint =>
  type === v.V4L2_CTRL_TYPE_BITMASK ? BigInt(value >>> 0) : BigInt(value);

/** The value now. Throws MediaError. */
export function read(controls: Controls, row: ControlRow): bigint {
  if ((row.flags & v.V4L2_CTRL_FLAG_WRITE_ONLY) !== 0)
    throw new MediaError("EACCES", `${row.name} cannot be read`);
  const value = controls.get(row);
  if (value instanceof MediaError) throw value;
  return value;
}

/** The value that is nearest to `value` on the steps of the control. Throws MediaError for one that is out of range. */
export function fitted(row: ControlRow, value: bigint): bigint {
  const { minimum, maximum, step, type } = row;
  if ((row.flags & v.V4L2_CTRL_FLAG_READ_ONLY) !== 0)
    throw new MediaError("EACCES", `${row.name} is read-only`);
  if (type === v.V4L2_CTRL_TYPE_BUTTON) return 0n;
  const outside =
    type === v.V4L2_CTRL_TYPE_BITMASK
      ? (value & ~maximum) !== 0n
      : value < minimum || value > maximum;
  if (outside)
    throw new MediaError("ERANGE", `${row.name} is ${minimum} to ${maximum}, not ${value}`);
  if (isMenu(row)) {
    check(
      row.menu.some(({ index }) => BigInt(index) === value),
      "the menu has no such entry",
    );
    return value;
  }
  if (step <= 1n || type === v.V4L2_CTRL_TYPE_BITMASK) return value;
  const steps = (value - minimum + step / 2n) / step;
  const near = minimum + steps * step;
  return near > maximum ? near - step : near;
}

/** Sets a value that fits. Throws MediaError. */
export function write(controls: Controls, row: ControlRow, value: bigint): bigint {
  const now = controls.set(row, value);
  if (now instanceof MediaError) throw now;
  return now;
}

// Controls of a source, for tests: one of each kind that guests see.
import * as v from "../../ffi/linux/videodev2.ts";
import type { ControlRow, Controls } from "../../src/media/controls.ts";
import { MediaError } from "../../src/media/media-error.ts";

const USER = 0x0098_0000;
export const USER_CLASS = USER + 1;
export const BRIGHTNESS = USER + 0x900;
export const MENU = USER + 0x918;
export const MASK = USER + 0x930;
export const BUTTON = USER + 0x931;
export const LONG = USER + 0x932;
export const FIXED = USER + 0x933;
export const BROKEN = USER + 0x934;

const row = (
  id: number,
  type: number,
  name: string,
  more: Partial<ControlRow> = {},
): ControlRow => ({
  id,
  type,
  name,
  minimum: 0n,
  maximum: 0n,
  step: 1n,
  default: 0n,
  flags: 0,
  menu: [],
  ...more,
});

const rows: readonly ControlRow[] = [
  row(USER_CLASS, v.V4L2_CTRL_TYPE_CTRL_CLASS, "User Controls", {
    step: 0n,
    flags: v.V4L2_CTRL_FLAG_READ_ONLY | v.V4L2_CTRL_FLAG_WRITE_ONLY,
  }),
  row(BRIGHTNESS, v.V4L2_CTRL_TYPE_INTEGER, "Brightness", {
    minimum: -10n,
    maximum: 255n,
    step: 5n,
    default: 50n,
  }),
  row(MENU, v.V4L2_CTRL_TYPE_MENU, "Power Line Frequency", {
    maximum: 3n,
    default: 1n,
    menu: [
      { index: 0, value: "Disabled" },
      { index: 1, value: "50 Hz" },
      { index: 3, value: "Auto" },
    ],
  }),
  row(MASK, v.V4L2_CTRL_TYPE_BITMASK, "Bitmask", { maximum: 0x8000_0005n, step: 0n }),
  row(BUTTON, v.V4L2_CTRL_TYPE_BUTTON, "Reset", { flags: v.V4L2_CTRL_FLAG_WRITE_ONLY }),
  row(LONG, v.V4L2_CTRL_TYPE_INTEGER64, "Large", { minimum: -(1n << 40n), maximum: 1n << 40n }),
  row(FIXED, v.V4L2_CTRL_TYPE_INTEGER, "Fixed", {
    maximum: 9n,
    flags: v.V4L2_CTRL_FLAG_READ_ONLY,
  }),
  row(BROKEN, v.V4L2_CTRL_TYPE_BOOLEAN, "Broken", { maximum: 1n }),
];

export class FakeControls implements Controls {
  readonly rows = rows;
  readonly values = new Map(rows.map(({ id, default: value }) => [id, value]));

  get({ id }: ControlRow): bigint | MediaError {
    return id === BROKEN ? new MediaError("EIO", "it is broken") : (this.values.get(id) ?? 0n);
  }
  set({ id }: ControlRow, value: bigint): bigint | MediaError {
    if (id === BROKEN) return new MediaError("EIO", "it is broken");
    this.values.set(id, value);
    return value;
  }
}

// Controls of decoders: numbers and values of virtio-video for those of V4L2. Profiles and levels are menus in V4L2;
// virtio-video has numbers of its own for them.
import * as v from "../../../ffi/linux/videodev2.ts";
import { getControl, menuEntries, setControl } from "../../v4l2/controls.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { control } from "../structs.ts";

/** V4L2 value to virtio-video value, by position; undefined has no counterpart. */
type Values = readonly (number | undefined)[];

interface ControlRow {
  readonly number: number;
  /** Coded format, or 0: any. */
  readonly format: number;
  readonly id: number;
  /** Absent: the value is the same on both sides. */
  readonly values?: Values;
}

const none = undefined;
const from = (first: number, count: number): Values =>
  Array.from({ length: count }, (_, i) => first + i);

const H264 = 0x1002;
const HEVC = 0x1003;
const VP8 = 0x1004;
const VP9 = 0x1005;
const rows: readonly ControlRow[] = [
  { number: control.BITRATE, format: 0, id: v.V4L2_CID_MPEG_VIDEO_BITRATE },
  {
    number: control.PROFILE,
    format: H264,
    id: v.V4L2_CID_MPEG_VIDEO_H264_PROFILE,
    values: [
      ...[0x100, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x106],
      ...[none, none, none, none, 0x107, 0x108, none, 0x109, 0x10a],
    ],
  },
  // Level 1b has no number of its own.
  {
    number: control.LEVEL,
    format: H264,
    id: v.V4L2_CID_MPEG_VIDEO_H264_LEVEL,
    values: [0x100, ...from(0x100, 15)],
  },
  {
    number: control.PROFILE,
    format: HEVC,
    id: v.V4L2_CID_MPEG_VIDEO_HEVC_PROFILE,
    values: [0x200, 0x202, 0x201],
  },
  {
    number: control.PROFILE,
    format: VP8,
    id: v.V4L2_CID_MPEG_VIDEO_VP8_PROFILE,
    values: from(0x300, 4),
  },
  {
    number: control.PROFILE,
    format: VP9,
    id: v.V4L2_CID_MPEG_VIDEO_VP9_PROFILE,
    values: from(0x400, 4),
  },
];

const rowOf = (number: number, format: number) =>
  rows.find((row) => row.number === number && (row.format === 0 || row.format === format));

/** A control's value in virtio-video's numbers; undefined where format or device have none. */
export function readControl(
  device: VideoDevice,
  number: number,
  format: number,
): number | undefined {
  const row = rowOf(number, format);
  if (row === undefined) return undefined;
  const value = getControl(device, row.id);
  return row.values === undefined || value === undefined ? value : row.values[value];
}

/** Sets a control; false where format or device have none or refuse the value. */
export function writeControl(
  device: VideoDevice,
  number: number,
  format: number,
  value: number,
): boolean {
  const row = rowOf(number, format);
  if (row === undefined || value > 0x7fff_ffff) return false;
  const theirs = row.values === undefined ? value : row.values.indexOf(value);
  return theirs >= 0 && setControl(device, row.id, theirs);
}

/** Values that a menu control of the device has, each once; undefined where format or device have no such control. */
export function controlMenu(
  device: VideoDevice,
  number: number,
  format: number,
): readonly number[] | undefined {
  const row = rowOf(number, format);
  if (row?.values === undefined) return undefined;
  const found = menuEntries(device, row.id, row.values.length).map((entry) => row.values?.[entry]);
  const values = [...new Set(found)].filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values;
}

// The descriptions of pixel formats that the kernel gives for all drivers (v4l2-ioctl.c). v4l2-compliance compares them.
import { fourcc } from "../format/formats.ts";

const rows: readonly (readonly [string, string])[] = [
  ["YUYV", "YUYV 4:2:2"],
  ["UYVY", "UYVY 4:2:2"],
  ["YVYU", "YVYU 4:2:2"],
  ["NV12", "Y/UV 4:2:0"],
  ["NV21", "Y/VU 4:2:0"],
  ["YU12", "Planar YUV 4:2:0"],
  ["YV12", "Planar YVU 4:2:0"],
  ["RGB3", "24-bit RGB 8-8-8"],
  ["BGR3", "24-bit BGR 8-8-8"],
  ["XR24", "32-bit BGRX 8-8-8-8"],
  ["RGBP", "16-bit RGB 5-6-5"],
  ["GREY", "8-bit Greyscale"],
  ["Y10", "10-bit Greyscale"],
  ["Y12", "12-bit Greyscale"],
  ["Y16", "16-bit Greyscale"],
  ["P010", "10-bit Y/UV 4:2:0"],
  ["MJPG", "Motion-JPEG"],
  ["JPEG", "JFIF JPEG"],
];

/** The description of each format by its fourcc number. */
export const descriptions: ReadonlyMap<number, string> = new Map(
  rows.map(([name, text]) => [fourcc(name), text]),
);

// Which files are nodes of video devices.
import type { Stats } from "node:fs";

/** The kernel's number of video devices: Documentation/admin-guide/devices.txt. */
const VIDEO_MAJOR = 81;

export const isVideoStat = (stat: Stats): boolean =>
  stat.isCharacterDevice() && ((stat.rdev >>> 8) & 0xfff) === VIDEO_MAJOR;

// The members of AVFrame (libavutil/frame.h) whose offsets are the same in all versions.
import { i32, n64, type Struct, struct } from "./struct.ts";

/** A picture, or memory for one. `data` is at 0, `linesize` at 64. */
export const avFrame = struct("AVFrame", 144, {
  "data[0]": n64(0),
  "data[1]": n64(8),
  "data[2]": n64(16),
  "linesize[0]": i32(64),
  "linesize[1]": i32(68),
  "linesize[2]": i32(72),
  width: i32(104),
  height: i32(108),
  format: i32(116),
  pts: n64(136),
});

export type AvFrame = Struct<typeof avFrame.fields>;

// Option rows for what is captured and how, which several tools share.
import { deviceFiles } from "../cli/device-files.ts";
import { inGroup } from "../cli/groups.ts";
import type { Options } from "../cli/options.ts";
import type { Explained } from "../cli/tool-text.ts";
import { fourccInstead, knownFourccs } from "../format/other-names.ts";

/** What to capture. */
export const captureOptions = inGroup("capture", {
  device: {
    short: "d",
    type: "text",
    default: "/dev/video0",
    value: "DEVICE",
    completes: {
      words: ["testsrc", "testsrc:bars", "testsrc:gradient"],
      ...deviceFiles.video,
      files: "all",
    },
    help: "camera (node, by-id name or card name), raw or .y4m recording, named pipe, - for stdin, testsrc, testsrc:bars or testsrc:gradient",
  },
  width: { short: "W", type: "integer", min: 1, max: 16384, default: 640, help: "pixels" },
  height: { short: "H", type: "integer", min: 1, max: 16384, default: 480, help: "pixels" },
  format: {
    short: "f",
    type: "text",
    pattern: [/^[ -~]{1,4}$/, "1 to 4 characters"],
    instead: fourccInstead,
    default: "YUYV",
    value: "FOURCC",
    completes: { words: knownFourccs },
    help: "pixel format, as --list-formats names it",
  },
  control: {
    short: "c",
    type: "list",
    value: "NAME=VALUE",
    help: "set a control of the camera first, by the name v4l2-ctl uses; the value of a menu is its number or text; may be repeated",
  },
  "list-formats": {
    type: "flag",
    alone: true,
    help: "print the formats of the device with sizes and rates, and end",
  },
  buffers: { short: "b", type: "integer", min: 1, max: 64, default: 4, help: "capture buffers" },
  frames: {
    short: "n",
    type: "integer",
    min: -1,
    max: Number.MAX_SAFE_INTEGER,
    help: "end after that many frames; -1: unlimited, 0: after the hello",
  },
  once: { type: "flag", help: "play a recording once, not in a loop" },
  fps: {
    short: "r",
    type: "number",
    min: 0,
    max: 1000,
    help: "frames per second; 0, for testsrc and recordings only: as fast as possible",
  },
} as const satisfies Options);

export const captureFiles: readonly Explained[] = [
  {
    word: "/dev/video*",
    meaning: "cameras and other video devices; the group video may open them",
  },
  { word: "/dev/v4l/by-id, /dev/v4l/by-path", meaning: "names of cameras that stay the same" },
];

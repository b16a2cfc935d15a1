// Option rows of virtual cameras, and how they are read.
import { inGroup } from "../../cli/groups.ts";
import type { Options, Values } from "../../cli/options.ts";
import type { Explained } from "../../cli/tool-text.ts";
import { UsageError } from "../../errors.ts";
import { formats } from "../../format/formats.ts";
import { fourccInstead } from "../../format/other-names.ts";
import { cameraFormat } from "./camera-formats.ts";
import type { CameraOptions } from "./camera-output.ts";
import { checkLabel } from "./loopback.ts";

export const cameraOptions = inGroup("camera", {
  camera: {
    type: "list",
    value: "NAME",
    help: "make a camera of that name with v4l2loopback and write frames into it; may be repeated",
  },
  "camera-format": {
    type: "text",
    instead: fourccInstead,
    value: "FOURCC",
    completes: { words: formats.map(({ name }) => name) },
    help: "pixel format of the camera; without it the stream's, or YUYV where programs do not take that",
  },
  "camera-size": {
    type: "text",
    value: "WxH",
    pattern: [/^[1-9]\d{0,4}x[1-9]\d{0,4}$/, "WIDTHxHEIGHT"],
    help: "size of the camera, pixels; without it the stream's, and 640x480 before the first stream",
  },
  standby: {
    type: "choice",
    choices: ["card", "last"],
    default: "card",
    help: "what a camera shows while no frames come: a card, or the last picture",
  },
  "on-demand": {
    type: "flag",
    help: "listen only while a program reads a camera, so that the sender's camera is off; implies --keep",
  },
} as const satisfies Options);

export const cameraFiles: readonly Explained[] = [
  {
    word: "/dev/v4l2loopback",
    meaning: "where --camera asks the module v4l2loopback for a camera",
  },
];

/** What the options say about every camera of the tool. Throws UsageError. */
export function readCameraOptions(
  values: Omit<Values<typeof cameraOptions>, "given">,
): Pick<CameraOptions, "format" | "size" | "standby"> {
  for (const label of values.camera) checkLabel(label);
  const { standby, "camera-format": format, "camera-size": size } = values;
  if (format !== undefined) cameraFormat(format);
  const [width = 0, height = 0] = size?.split("x").map(Number) ?? [];
  if (size !== undefined && Math.max(width, height) > 16_384)
    throw new UsageError(`--camera-size must be at most 16384 pixels wide and high, got ${size}`);
  return { format, size: size === undefined ? undefined : { width, height }, standby };
}

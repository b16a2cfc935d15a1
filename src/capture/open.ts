// From --device to a source: the built-in one, a recording, or a camera.
import { statSync } from "node:fs";
import { UsageError } from "../errors.ts";
import type { Source } from "../frame/source.ts";
import { applySettings } from "../v4l2/control-setting.ts";
import { openVideoDevice } from "../v4l2/device.ts";
import { findNode } from "../v4l2/find-node.ts";
import { type CameraOptions, openCamera } from "./camera.ts";
import { openRecording } from "./recording.ts";
import { openTestSource } from "./testsrc.ts";

export interface SourceOptions extends CameraOptions {
  /** Controls to set before the format is negotiated, each NAME=VALUE. */
  readonly control?: readonly string[];
}

/** What --device means: the built-in source, a recording, or a camera. */
export function sourceKind(device: string): "testsrc" | "recording" | "camera" {
  if (device === "testsrc" || device.startsWith("testsrc:")) return "testsrc";
  return isRegularFile(device) ? "recording" : "camera";
}

/** Opens `testsrc[:PATTERN]`, a regular file, or a camera. Throws UsageError or UnavailableError. */
export function openSource(device: string, options: SourceOptions): Source {
  const kind = sourceKind(device);
  const { control = [] } = options;
  if (kind !== "camera" && control.length > 0)
    throw new UsageError(`--control is for cameras; ${device} has no controls`);
  if (kind === "testsrc") return openTestSource(device, options);
  if (kind === "recording") return openRecording(device, options);
  using owned = new DisposableStack();
  const camera = owned.use(openVideoDevice(findNode(device, ["camera"])));
  applySettings(camera, control);
  owned.move();
  return openCamera(camera, options);
}

/** False when stat fails: opening the path as a device then fails with the reason. */
function isRegularFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

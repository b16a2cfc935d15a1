// From --device to a source: the built-in one, a recording, or a camera.
import { statSync } from "node:fs";
import type { Source } from "../frame/source.ts";
import { openVideoDevice } from "../v4l2/device.ts";
import { type CameraOptions, openCamera } from "./camera.ts";
import { openRecording } from "./recording.ts";
import { openTestSource } from "./testsrc.ts";

/** Opens `testsrc[:PATTERN]`, a regular file, or a V4L2 node. Throws UsageError or UnavailableError. */
export function openSource(device: string, options: CameraOptions): Source {
  if (device === "testsrc" || device.startsWith("testsrc:")) return openTestSource(device, options);
  if (isRegularFile(device)) return openRecording(device, options);
  return openCamera(openVideoDevice(device), options);
}

/** False when stat fails: opening the path as a device then fails with the reason. */
function isRegularFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

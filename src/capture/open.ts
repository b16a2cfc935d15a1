// From --device to a source: the built-in one, a recording, or a camera.
import { statSync } from "node:fs";
import { UsageError } from "../errors.ts";
import type { Source } from "../frame/source.ts";
import { applySettings } from "../v4l2/control-setting.ts";
import { openVideoDevice } from "../v4l2/device.ts";
import { findNode } from "../v4l2/find-node.ts";
import { type CameraOptions, openCamera } from "./camera.ts";
import { isStdin, type PipeInput } from "./pipe-input.ts";
import { openPipeSource } from "./pipe-source.ts";
import { openRecording, type RecordingOptions } from "./recording.ts";
import { openTestSource } from "./testsrc.ts";

export interface SourceOptions extends CameraOptions, RecordingOptions {
  /** The pipe that `device` names, if it is one. It stays open when the source is disposed. */
  readonly pipe?: PipeInput | undefined;
  /** Controls to set before the format is negotiated, each NAME=VALUE. */
  readonly control?: readonly string[];
}

/** What --device means: the built-in source, a recording in a file or pipe, or a camera. */
export function sourceKind(device: string): "testsrc" | "recording" | "camera" {
  if (device === "testsrc" || device.startsWith("testsrc:")) return "testsrc";
  return isStdin(device) || isRecording(device) ? "recording" : "camera";
}

/**
 * Opens `testsrc[:PATTERN]`, a recording in a file or pipe ("-" is stdin), or a camera. Throws UsageError or
 * UnavailableError.
 */
export function openSource(device: string, options: SourceOptions): Source {
  const { control = [], pipe } = options;
  const kind = pipe === undefined ? sourceKind(device) : "recording";
  if (kind !== "camera" && control.length > 0)
    throw new UsageError(`--control is for cameras; ${device} has no controls`);
  if (pipe !== undefined) return openPipeSource(pipe, options);
  if (isStdin(device)) return openRecording("/proc/self/fd/0", options, "stdin");
  if (kind === "recording") return openRecording(device, options);
  if (options.once === true) {
    throw new UsageError(`--once is for recordings, not for --device ${device}`);
  }
  if (kind === "testsrc") return openTestSource(device, options);
  using owned = new DisposableStack();
  const camera = owned.use(openVideoDevice(findNode(device, ["camera"])));
  applySettings(camera, control);
  owned.move();
  return openCamera(camera, options);
}

/** A regular file, or a path that has a file's ending and that cannot be looked at: opening it says why. */
function isRecording(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return /\.[a-z0-9]{1,5}$/i.test(path);
  }
}

// From --device to a source: the built-in one, a recording, or a camera.
import { statSync } from "node:fs";
import { UsageError } from "../errors.ts";
import type { Source } from "../frame/source.ts";
import { openVideoDevice } from "../v4l2/device.ts";
import { type CameraOptions, openCamera } from "./camera.ts";
import { isStdin, type PipeInput } from "./pipe-input.ts";
import { openPipeSource } from "./pipe-source.ts";
import { openRecording, type RecordingOptions } from "./recording.ts";
import { openTestSource } from "./testsrc.ts";

export interface SourceOptions extends CameraOptions, RecordingOptions {
  /** The pipe that `device` names, if it is one. It stays open when the source is disposed. */
  readonly pipe?: PipeInput | undefined;
}

/**
 * Opens `testsrc[:PATTERN]`, a recording in a file or pipe ("-" is stdin), or a V4L2 node. Throws UsageError or
 * UnavailableError.
 */
export function openSource(device: string, options: SourceOptions): Source {
  if (options.pipe !== undefined) return openPipeSource(options.pipe, options);
  if (isStdin(device)) return openRecording("/proc/self/fd/0", options, "stdin");
  if (isRecording(device)) return openRecording(device, options);
  if (options.once === true) {
    throw new UsageError(`--once is for recordings, not for --device ${device}`);
  }
  if (device === "testsrc" || device.startsWith("testsrc:")) return openTestSource(device, options);
  return openCamera(openVideoDevice(device), options);
}

/** A regular file, or a path that does not exist and has a file's ending. */
function isRecording(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch (error) {
    const missing = (error as { code?: string }).code === "ENOENT";
    return missing && /\.[a-z0-9]{1,5}$/i.test(path);
  }
}

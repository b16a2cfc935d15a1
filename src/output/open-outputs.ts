// Opens what --output and --camera name: files and pipes, video output devices, and cameras made for the tool.
import { existsSync, statSync } from "node:fs";
import { loadSwscale, SWSCALE_PACKAGES } from "../../ffi/swscale.ts";
import { needLibrary, UnavailableError, UsageError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { openOutputNode } from "../v4l2/output-device.ts";
import { type CameraOptions, CameraOutput } from "./camera/camera-output.ts";
import { makeLoopback } from "./camera/loopback.ts";
import { type Output, type OutputOptions, openOutputWhenRead } from "./file.ts";
import type { Outputs } from "./outputs.ts";
import { isVideoStat } from "./video-stat.ts";

export interface OutputWishes {
  /** Paths of files, pipes and devices; "-" is stdout. */
  readonly paths: readonly string[];
  readonly files: OutputOptions;
  /** Names of cameras to make. */
  readonly cameras: readonly string[];
  readonly camera: Omit<CameraOptions, "lost">;
}

export interface OpenedOutputs {
  readonly files: readonly Output[];
  readonly cameras: readonly CameraOutput[];
}

/**
 * Opens all outputs into `outputs`; cameras that are made belong to `owned`, which has to be disposed after `outputs`. Stops
 * early when `signal` aborts. Throws UsageError, UnavailableError.
 */
export async function openOutputs(
  loop: Loop,
  wishes: OutputWishes,
  outputs: Outputs,
  owned: DisposableStack,
  signal: AbortSignal,
): Promise<OpenedOutputs> {
  checkCameraIsNamed(wishes);
  const { format, size } = wishes.camera;
  // Otherwise it is missed when the first stream that has another size comes.
  if (format !== undefined || size !== undefined) needLibrary(loadSwscale, SWSCALE_PACKAGES);
  const files: Output[] = [];
  const cameras: CameraOutput[] = [];
  const openCamera = (path: string) => {
    const lost = (error: unknown) => outputs.fail(camera, error);
    const camera = new CameraOutput(loop, () => openOutputNode(path), { ...wishes.camera, lost });
    cameras.push(outputs.add(camera));
    if (wishes.camera.readers === undefined || camera.countsReaders) return;
    throw new UnavailableError(
      `--on-demand: the driver of ${path} does not say who reads it (v4l2loopback does since 0.13); omit --on-demand`,
    );
  };
  for (const path of wishes.paths) {
    if (isVideoDevice(path)) openCamera(path);
    else {
      const file = await openOutputWhenRead(loop, path, wishes.files, signal);
      if (file !== undefined) files.push(outputs.add(file));
    }
  }
  for (const label of wishes.cameras) {
    const node = await makeLoopback(loop, label, signal);
    if (node !== undefined) openCamera(owned.use(node).path);
  }
  return { files, cameras };
}

/** Throws UsageError for an option of cameras without a camera. */
function checkCameraIsNamed({ paths, cameras, camera }: OutputWishes): void {
  if (cameras.length > 0 || paths.some(isVideoDevice)) return;
  const { readers, format, size } = camera;
  const options = { "--on-demand": readers, "--camera-format": format, "--camera-size": size };
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    throw new UsageError(`${option} is for cameras: name one with --output or --camera`);
  }
}

/** Whether a path is a video device. Throws UnavailableError for the path of a device that does not exist: a file must not be made there. */
export function isVideoDevice(path: string): boolean {
  const looksLikeVideo = /^\/dev\/(video\d|v4l\/)/.test(path);
  const looksLikeDevice = /^\/dev\/[^/]+$/.test(path);
  if (!existsSync(path) && !looksLikeVideo && !looksLikeDevice) return false; // also a path below a file
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat !== undefined) return isVideoStat(stat);
  if (!looksLikeVideo)
    throw new UnavailableError(
      `--output ${path}: there is no such device, and no file is made in /dev; choose another --output`,
    );
  throw new UnavailableError(
    `--output ${path}: there is no such device; --camera NAME makes one, and framepass devices lists those that are here`,
  );
}

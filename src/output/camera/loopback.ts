// Makes the node of a virtual camera with v4l2loopback, and removes it at the end. Only nodes made here are removed.
import { existsSync, readFileSync } from "node:fs";
import { errno, errnoName, type SysError } from "../../../ffi/errno.ts";
import {
  LOOPBACK_CONTROL,
  type LoopbackCalls,
  LoopbackControl,
  openLoopbackCalls,
} from "../../../ffi/v4l2loopback-control.ts";
import { log } from "../../cli/log.ts";
import { needed, UnavailableError, UsageError } from "../../errors.ts";
import type { Loop } from "../../loop.ts";

/** Enough that a reader has several frame times before the frame it reads is overwritten. */
const BUFFERS = 8;
/**
 * Before 0.15 a program that asks for fewer buffers than the node has shortens the ring, and the driver then returns a wrong
 * buffer for the newest picture: GStreamer ends with "buffer 3 was not queued". GStreamer and browsers ask for 4, ffmpeg for more.
 */
const OLD_BUFFERS = 4;
/** How long udev may need to make the node. */
const NODE_MS = 2000;
const LOOK_MS = 20;
/** How long a program that has just closed the node may still hold it. */
const REMOVE_MS = 300;

export interface MadeNode extends Disposable {
  readonly path: string;
}

/** What makes nodes; tests have another one. */
export interface LoopbackWorld {
  readonly open: () => LoopbackCalls;
  readonly exists: (path: string) => boolean;
  /** The module's parameter max_buffers. */
  readonly maxBuffers: () => number;
}
const thisHost: LoopbackWorld = {
  open: openLoopbackCalls,
  exists: existsSync,
  maxBuffers: () => Number(readFileSync("/sys/module/v4l2loopback/parameters/max_buffers", "utf8")),
};

/** Throws UsageError for a name that v4l2loopback cannot keep. */
export function checkLabel(label: string): void {
  if (/^[\x20-\x7e]{1,31}$/.test(label)) return;
  throw new UsageError(`--camera must be 1 to 31 printable ASCII characters, got "${label}"`);
}

/**
 * Makes a node named `label` and waits until it is there; disposing it removes it. Undefined when `signal` aborts first.
 * Throws UnavailableError with the command that helps.
 */
export async function makeLoopback(
  loop: Loop,
  label: string,
  signal: AbortSignal,
  world = thisHost,
): Promise<MadeNode | undefined> {
  using owned = new DisposableStack();
  const control = owned.use(openLoopback(label, world));
  // 0.13 refuses QUERYBUF of an index above the parameter, whatever the node has: v4l2-ctl would read nothing.
  const buffers = control.old ? Math.min(OLD_BUFFERS, world.maxBuffers() + 1) : BUFFERS;
  const number = needed(
    () => control.add(label, { buffers }),
    ({ code }) => (code === "EACCES" || code === "EPERM" ? "run as root" : ""),
  );
  const path = `/dev/video${number}`;
  owned.defer(() => remove(control, number, path));
  const untilMs = performance.now() + NODE_MS;
  while (!world.exists(path)) {
    if (signal.aborted) return undefined;
    if (performance.now() > untilMs)
      throw new UnavailableError(
        `${path}: v4l2loopback made it, but no node came in 2 s; is udev running`,
      );
    await loop.sleep(LOOK_MS, signal);
  }
  log.info(`made the camera "${label}": ${path}`);
  const release = owned.move();
  return { path, [Symbol.dispose]: () => release.dispose() };
}

/** Opens the control device for a camera named `label`. Throws UnavailableError with the command that helps. */
export const openLoopback = (label: string, world = thisHost): LoopbackControl =>
  needed(
    () => new LoopbackControl(world.open()),
    (error) => openAdvice(error, label, world),
  );

function openAdvice({ code }: SysError, label: string, { exists }: LoopbackWorld): string {
  if (code === "EACCES" || code === "EPERM") return "run as root, or give your group the device";
  if (code !== "ENOENT" && code !== "ENXIO" && code !== "ENODEV") return "";
  const load = `modprobe v4l2loopback exclusive_caps=1 max_buffers=${OLD_BUFFERS} card_label='${label}'`;
  if (exists("/sys/module/v4l2loopback"))
    return `this v4l2loopback is older than 0.13 and makes no nodes: rmmod v4l2loopback, ${load}, then --output /dev/videoN`;
  return `modprobe v4l2loopback devices=0 max_buffers=${BUFFERS} (Debian package v4l2loopback-dkms)`;
}

/** Removes the node. It stays when a program has it open; then a line says how to remove it later. */
function remove(control: LoopbackControl, number: number, path: string): void {
  const untilMs = performance.now() + REMOVE_MS;
  let r = control.remove(number);
  while (r === -errno.EBUSY && performance.now() < untilMs) {
    Bun.sleepSync(LOOK_MS);
    r = control.remove(number);
  }
  if (r >= 0 || r === -errno.ENODEV) return;
  const why = r === -errno.EBUSY ? "a program has it open" : errnoName(-r);
  log.warn(`${path} stays: ${why}; later: v4l2loopback-ctl delete ${path} (${LOOPBACK_CONTROL})`);
}

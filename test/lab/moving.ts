// vivid's moving pattern: a stale frame does not pass as the next one.
import { readFileSync } from "node:fs";
import type { Guest } from "./guest.ts";

const row = 640 * 2;
export const FRAME_BYTES = row * 480;
/** vivid moves its pattern to the left by so many of 640 pixels a frame. */
const stepBytes = 4 * 2;

/** Captures one picture of 640x480 YUYV to /share/still, then sets the pattern of /dev/videoN moving. */
export async function setMoving(guest: Guest, device: number): Promise<void> {
  const control = `v4l2-ctl -d${device}`;
  await guest.ok(
    `${control} --set-ctrl=osd_text_mode=2
     ${control} --set-fmt-video=width=640,height=480,pixelformat=YUYV \\
       --stream-mmap --stream-count=1 --stream-to=still
     ${control} --set-ctrl=horizontal_movement=1`,
  );
}

/** Throws unless a file holds `count` pictures, each the still one shifted and each different from the one before. */
export function checkMoving(receivedPath: string, stillPath: string, count: number): void {
  const still = readFileSync(stillPath);
  const received = readFileSync(receivedPath);
  if (still.length !== FRAME_BYTES) throw new Error(`the still picture has ${still.length} bytes`);
  if (still.every((byte) => byte === still[0])) throw new Error("the camera shows nothing");
  if (received.length !== count * FRAME_BYTES)
    throw new Error(`${received.length} bytes arrived, must be ${count * FRAME_BYTES}`);
  let last = -1;
  for (let i = 0; i < count; i++) {
    const by = shiftOf(received.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES), still);
    if (by === undefined) throw new Error(`frame ${i} is not the camera's`);
    if (by === last) throw new Error(`frame ${i} is the one before it once more`);
    last = by;
  }
}

/** By how many bytes the rows of a picture are shifted against another's; undefined for another picture. */
export function shiftOf(picture: Buffer, still: Buffer): number | undefined {
  for (let by = 0; by < row; by += stepBytes) if (isMoved(picture, still, by)) return by;
  return undefined;
}

function isMoved(picture: Buffer, still: Buffer, by: number): boolean {
  for (let at = 0; at < FRAME_BYTES; at += row) {
    const [from, to] = [at + by, at + row];
    if (picture.compare(still, from, to, at, to - by) !== 0) return false;
    if (by > 0 && picture.compare(still, at, from, to - by, to) !== 0) return false;
  }
  return true;
}

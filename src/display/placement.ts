// Where in a window the picture goes.
import type { Rect, Size } from "../../ffi/sdl2.ts";

/** fit: all of it, keeping its shape; fill: no border, cut; integer: whole multiples; none: pixel by pixel. */
export const scaleModes = ["fit", "fill", "integer", "none"] as const;
export type ScaleMode = (typeof scaleModes)[number];

/** Whether pixels keep sharp edges in this mode. */
export const isSharp = (mode: ScaleMode) => mode === "integer" || mode === "none";

function factor(mode: ScaleMode, picture: Size, window: Size): number {
  const across = window.width / picture.width;
  const down = window.height / picture.height;
  if (mode === "none") return 1;
  if (mode === "fill") return Math.max(across, down);
  const fit = Math.min(across, down);
  // A window smaller than the picture has no whole multiple: then it is fitted.
  return mode === "integer" && fit >= 1 ? Math.floor(fit) : fit;
}

/** Writes into `rect` where a picture goes in a window: centred, possibly larger than it. */
export function place(rect: Rect, mode: ScaleMode, picture: Size, window: Size): void {
  const scale = factor(mode, picture, window);
  rect.w = Math.max(1, Math.round(picture.width * scale));
  rect.h = Math.max(1, Math.round(picture.height * scale));
  rect.x = Math.round((window.width - rect.w) / 2);
  rect.y = Math.round((window.height - rect.h) / 2);
}

/** Whether a picture at `rect` leaves nothing of the window to be seen. */
export function covers({ x, y, w, h }: Rect, window: Size): boolean {
  return x <= 0 && y <= 0 && x + w >= window.width && y + h >= window.height;
}

/** The size to open a window with: the picture's, or what of its shape fits on the screen. */
export function windowSize(picture: Size, screen: Size): Size {
  const scale = Math.min(1, screen.width / picture.width, screen.height / picture.height);
  return {
    width: Math.max(64, Math.round(picture.width * scale)),
    height: Math.max(48, Math.round(picture.height * scale)),
  };
}

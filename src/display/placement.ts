// The place of the picture in the window.
import type { Rect, Size } from "../../ffi/sdl2.ts";

/** fit: whole picture, same shape; fill: no border, edges cut off; integer: whole multiples; none: pixel for pixel. */
export const scaleModes = ["fit", "fill", "integer", "none"] as const;
export type ScaleMode = (typeof scaleModes)[number];

/** Whether this mode keeps the edges of pixels sharp. */
export const isSharp = (mode: ScaleMode) => mode === "integer" || mode === "none";

function factor(mode: ScaleMode, picture: Size, window: Size): number {
  const across = window.width / picture.width;
  const down = window.height / picture.height;
  if (mode === "none") return 1;
  if (mode === "fill") return Math.max(across, down);
  const fit = Math.min(across, down);
  // In a window smaller than the picture there is no whole multiple: fit instead.
  return mode === "integer" && fit >= 1 ? Math.floor(fit) : fit;
}

/** Writes the place of a picture into `rect`: centred, possibly larger than the window. */
export function place(rect: Rect, mode: ScaleMode, picture: Size, window: Size): void {
  const scale = factor(mode, picture, window);
  rect.w = Math.max(1, Math.round(picture.width * scale));
  rect.h = Math.max(1, Math.round(picture.height * scale));
  rect.x = Math.round((window.width - rect.w) / 2);
  rect.y = Math.round((window.height - rect.h) / 2);
}

/** Whether a picture at `rect` covers the whole window. */
export function covers({ x, y, w, h }: Rect, window: Size): boolean {
  return x <= 0 && y <= 0 && x + w >= window.width && y + h >= window.height;
}

/** The size to open a window with: the picture's, or smaller in the same shape to fit on the screen. */
export function windowSize(picture: Size, screen: Size): Size {
  const scale = Math.min(1, screen.width / picture.width, screen.height / picture.height);
  return {
    width: Math.max(64, Math.round(picture.width * scale)),
    height: Math.max(48, Math.round(picture.height * scale)),
  };
}

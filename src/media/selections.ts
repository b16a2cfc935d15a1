// The part of its sensor that a camera shows (cropping), where it can: vidioc-g-selection.rst.
import type { MediaError } from "./media-error.ts";

export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Selections {
  /** The rectangle of V4L2_SEL_TGT_CROP, CROP_DEFAULT or CROP_BOUNDS. */
  get(target: number): Rectangle | MediaError;
  /** Sets V4L2_SEL_TGT_CROP; `flags` are V4L2_SEL_FLAG_*. The rectangle that the camera took. */
  set(wish: Rectangle, flags: number): Rectangle | MediaError;
}

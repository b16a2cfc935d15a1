// Cropping: vidioc-g-selection.rst. The guest's core makes CROPCAP, G_CROP and S_CROP of these calls.
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import { checkType } from "./format-ioctls.ts";
import { type IoctlRow, ioctlRow } from "./ioctl-row.ts";
import { check, MediaError } from "./media-error.ts";
import type { MediaSource } from "./media-source.ts";
import type { Rectangle, Selections } from "./selections.ts";

const targets: readonly number[] = [
  v.V4L2_SEL_TGT_CROP,
  v.V4L2_SEL_TGT_CROP_DEFAULT,
  v.V4L2_SEL_TGT_CROP_BOUNDS,
];
const FLAGS = v.V4L2_SEL_FLAG_GE | v.V4L2_SEL_FLAG_LE;

function selectionsOf({ selections }: MediaSource): Selections {
  if (selections === undefined) throw new MediaError("ENOTTY", "the camera cannot crop");
  return selections;
}

/** Writes every byte of the struct. Throws the refusal. */
function answer(
  q: Struct<typeof v.v4l2Selection.fields>,
  target: number,
  flags: number,
  got: Rectangle | MediaError,
): void {
  if (got instanceof MediaError) throw got;
  q.$bytes.fill(0);
  q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
  q.target = target;
  q.flags = flags;
  q["r.left"] = got.left;
  q["r.top"] = got.top;
  q["r.width"] = got.width;
  q["r.height"] = got.height;
}

export const selectionIoctls: readonly IoctlRow[] = [
  ioctlRow(v.VIDIOC_G_SELECTION, (q, { node }) => {
    const selections = selectionsOf(node.source);
    const { type, target, flags } = q;
    checkType(type);
    check(targets.includes(target), "the target is not offered");
    answer(q, target, flags, selections.get(target));
  }),
  ioctlRow(v.VIDIOC_S_SELECTION, (q, { node }) => {
    const selections = selectionsOf(node.source);
    const { type, target, flags } = q;
    checkType(type);
    check(target === v.V4L2_SEL_TGT_CROP, "only the crop rectangle can be set");
    check((flags & ~FLAGS) === 0, "unknown flags");
    node.checkIdle();
    const wish = {
      left: q["r.left"],
      top: q["r.top"],
      width: q["r.width"],
      height: q["r.height"],
    };
    answer(q, target, flags, selections.set(wish, flags));
  }),
];

// Cropping by a host's camera. A new structure is made of a guest's rectangle, and the host's driver adjusts it to what the camera can do.
import { errno, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../errors.ts";
import type { VideoDevice } from "../v4l2/device.ts";
import type { WithCamera } from "./host-controls.ts";
import { MediaError } from "./media-error.ts";
import type { Rectangle, Selections } from "./selections.ts";

type Selection = ReturnType<typeof v.v4l2Selection.alloc>;

function selection(target: number): Selection {
  const q = v.v4l2Selection.alloc();
  q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE; // also with the multi-planar API
  q.target = target;
  return q;
}

/** How the camera crops; undefined where it cannot. Throws UnavailableError. */
export function hostSelections(withCamera: WithCamera): Selections | undefined {
  const call = (
    request: typeof v.VIDIOC_G_SELECTION,
    q: Selection,
  ): ((device: VideoDevice) => Rectangle | MediaError) => {
    return (device) => {
      const r = device.ioctl(request, q);
      if (r < 0) return refusalOf(-r);
      const { "r.left": left, "r.top": top, "r.width": width, "r.height": height } = q;
      return { left, top, width, height };
    };
  };
  const bounds = withCamera(call(v.VIDIOC_G_SELECTION, selection(v.V4L2_SEL_TGT_CROP_BOUNDS)));
  if (bounds instanceof MediaError) return undefined;
  const attempt = (what: (device: VideoDevice) => Rectangle | MediaError) => {
    try {
      return withCamera(what);
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof SysError)) throw error;
      return new MediaError("EIO", error.message);
    }
  };
  return {
    get: (target) => attempt(call(v.VIDIOC_G_SELECTION, selection(target))),
    set({ left, top, width, height }, flags) {
      const q = selection(v.V4L2_SEL_TGT_CROP);
      q.flags = flags;
      Object.assign(q, { "r.left": left, "r.top": top, "r.width": width, "r.height": height });
      return attempt(call(v.VIDIOC_S_SELECTION, q));
    },
  };
}

function refusalOf(code: number): MediaError {
  const text = "the camera refuses the rectangle";
  if (code === errno.ERANGE) return new MediaError("ERANGE", text);
  if (code === errno.EBUSY) return new MediaError("EBUSY", text);
  return new MediaError(code === errno.EINVAL ? "EINVAL" : "EIO", text);
}

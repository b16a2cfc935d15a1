// Controls of a device: G_CTRL, S_CTRL and QUERYMENU.
import * as v from "../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "./device.ts";

/** G_CTRL; undefined where the device has no such control, or no value for it yet. */
export function getControl(device: VideoDevice, id: number): number | undefined {
  const control = v.v4l2Control.alloc();
  control.id = id;
  return device.ioctl(v.VIDIOC_G_CTRL, control) < 0 ? undefined : control.value;
}

/** S_CTRL; false where the device has no such control or refuses the value. */
export function setControl(device: VideoDevice, id: number, value: number): boolean {
  const control = v.v4l2Control.alloc();
  control.id = id;
  control.value = value;
  return device.ioctl(v.VIDIOC_S_CTRL, control) >= 0;
}

/** Which of the entries 0 to `count` - 1 a menu control has: QUERYMENU. */
export function menuEntries(device: VideoDevice, id: number, count: number): readonly number[] {
  const menu = v.v4l2Querymenu.alloc();
  return Array.from({ length: count }, (_, index) => index).filter((index) => {
    menu.id = id;
    menu.index = index;
    return device.ioctl(v.VIDIOC_QUERYMENU, menu) >= 0;
  });
}

// The one input of the camera, and subscriptions to events: vidioc-enuminput.rst, vidioc-subscribe-event.rst.
import * as v from "../../ffi/linux/videodev2.ts";
import { type IoctlRow, ioctlRow } from "./ioctl-row.ts";
import { check } from "./media-error.ts";

const INPUT_NAME = "Camera";

export const inputIoctls: readonly IoctlRow[] = [
  ioctlRow(v.VIDIOC_ENUMINPUT, (q) => {
    check(q.index === 0, "there is one input");
    q.$bytes.fill(0);
    q.name = INPUT_NAME;
    q.type = v.V4L2_INPUT_TYPE_CAMERA;
  }),
  ioctlRow(v.VIDIOC_G_INPUT, (q) => {
    q.value = 0;
  }),
  ioctlRow(v.VIDIOC_S_INPUT, (q) => check(q.value === 0, "there is one input")),
  ioctlRow(v.VIDIOC_SUBSCRIBE_EVENT, (q, { node, session }) => {
    check(q.type === v.V4L2_EVENT_CTRL, "events of that type are not offered");
    node.subscribe(session, q.id, q.flags);
  }),
  ioctlRow(v.VIDIOC_UNSUBSCRIBE_EVENT, (q, { node, session }) => {
    if (q.type === v.V4L2_EVENT_ALL) node.unsubscribeAll(session);
    else if (q.type === v.V4L2_EVENT_CTRL) node.unsubscribe(session, q.id);
  }),
];

// <v4l2loopback.h> of the module v4l2loopback, 0.13 to 0.15: the control device, the controls of a node and the event that
// counts its readers. The header is not installed with the module; test/layout/v4l2loopback.h has what is used here.
import { io, ior, iow, iowr } from "../ioctl.ts";
import { i32, struct, u32, writableText } from "../struct.ts";

export const v4l2LoopbackConfig = struct("struct v4l2_loopback_config", 72, {
  output_nr: i32(0),
  unused: i32(4), // capture_nr of versions that split the device
  card_label: writableText(8, 32),
  min_width: u32(40),
  max_width: u32(44),
  min_height: u32(48),
  max_height: u32(52),
  max_buffers: i32(56),
  max_openers: i32(60),
  debug: i32(64),
  announce_all_caps: i32(68),
});
const number = struct("__u32", 4, { value: u32(0) });

export const V4L2LOOPBACK_CTL_VERSION = ior("V4L2LOOPBACK_CTL_VERSION", "~", 0, number);
export const V4L2LOOPBACK_CTL_ADD = iow("V4L2LOOPBACK_CTL_ADD", "~", 1, v4l2LoopbackConfig);
export const V4L2LOOPBACK_CTL_REMOVE = iow("V4L2LOOPBACK_CTL_REMOVE", "~", 2, number);
export const V4L2LOOPBACK_CTL_QUERY = iowr("V4L2LOOPBACK_CTL_QUERY", "~", 3, v4l2LoopbackConfig);

// 0.13 and 0.14, which have no VERSION.
export const V4L2LOOPBACK_CTL_ADD_legacy = io(
  "V4L2LOOPBACK_CTL_ADD",
  "L",
  0x80,
  v4l2LoopbackConfig,
);
export const V4L2LOOPBACK_CTL_REMOVE_legacy = io("V4L2LOOPBACK_CTL_REMOVE", "L", 0x81, number);
export const V4L2LOOPBACK_CTL_QUERY_legacy = io(
  "V4L2LOOPBACK_CTL_QUERY",
  "L",
  0x82,
  v4l2LoopbackConfig,
);

/** Event of a node: how many programs read it. */
export const V4L2_EVENT_PRI_CLIENT_USAGE = 0x10e0_0001;
/** What that event carries, at the place of the union in struct v4l2_event. */
export const v4l2EventClientUsage = struct("struct v4l2_event_client_usage", 4, { count: u32(0) });

// <linux/videodev2.h>: what src/v4l2 and its users need of it. 64-bit layouts, the same on x86-64 and arm64.
import { int, ior, iow, iowr } from "../ioctl.ts";
import { i32, i64, n64, struct, text, u8, u32, u64, writableText } from "../struct.ts";

export const V4L2_BUF_TYPE_VIDEO_CAPTURE = 1;
export const V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE = 9;
export const V4L2_CAP_VIDEO_CAPTURE = 0x00000001;
export const V4L2_CAP_VIDEO_CAPTURE_MPLANE = 0x00001000;
export const V4L2_CAP_VIDEO_OUTPUT = 0x00000002;
export const V4L2_CAP_VIDEO_OUTPUT_MPLANE = 0x00002000;
export const V4L2_CAP_READWRITE = 0x01000000;
export const V4L2_CAP_STREAMING = 0x04000000;
export const V4L2_CAP_DEVICE_CAPS = 0x80000000;
export const V4L2_CAP_TIMEPERFRAME = 0x1000;
export const V4L2_FIELD_NONE = 1;
export const V4L2_PIX_FMT_PRIV_MAGIC = 0xfeedcafe;
export const V4L2_COLORSPACE_SMPTE240M = 2;
export const V4L2_COLORSPACE_REC709 = 3;
export const V4L2_COLORSPACE_JPEG = 7;
export const V4L2_COLORSPACE_SRGB = 8;
export const V4L2_COLORSPACE_BT2020 = 10;
export const V4L2_COLORSPACE_DCI_P3 = 12;
export const V4L2_YCBCR_ENC_601 = 1;
export const V4L2_YCBCR_ENC_709 = 2;
export const V4L2_YCBCR_ENC_XV709 = 4;
export const V4L2_YCBCR_ENC_BT2020 = 6;
export const V4L2_YCBCR_ENC_BT2020_CONST_LUM = 7;
export const V4L2_YCBCR_ENC_SMPTE240M = 8;
export const V4L2_QUANTIZATION_FULL_RANGE = 1;
export const V4L2_MEMORY_MMAP = 1;
export const V4L2_MEMORY_USERPTR = 2;
export const V4L2_MEMORY_DMABUF = 4;
export const V4L2_BUF_FLAG_ERROR = 0x00000040;
export const V4L2_BUF_FLAG_TIMESTAMP_MASK = 0x0000e000;
export const V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC = 0x00002000;
export const V4L2_EVENT_SOURCE_CHANGE = 5;
export const V4L2_EVENT_SRC_CH_RESOLUTION = 1;
export const V4L2_EVENT_SUB_FL_SEND_INITIAL = 1;
export const VIDEO_MAX_PLANES = 8;

export const v4l2Capability = struct("struct v4l2_capability", 104, {
  driver: text(0, 16),
  card: text(16, 32),
  bus_info: text(48, 32),
  version: u32(80),
  capabilities: u32(84),
  device_caps: u32(88),
});

/** The format of a queue: fmt.pix for the single-planar API, fmt.pix_mp for the multi-planar one (a union). */
export const v4l2Format = struct("struct v4l2_format", 208, {
  type: u32(0),
  "fmt.pix.width": u32(8),
  "fmt.pix.height": u32(12),
  "fmt.pix.pixelformat": u32(16),
  "fmt.pix.field": u32(20),
  "fmt.pix.bytesperline": u32(24),
  "fmt.pix.sizeimage": u32(28),
  "fmt.pix.colorspace": u32(32),
  "fmt.pix.priv": u32(36),
  "fmt.pix.ycbcr_enc": u32(44),
  "fmt.pix.quantization": u32(48),
  "fmt.pix_mp.width": u32(8),
  "fmt.pix_mp.height": u32(12),
  "fmt.pix_mp.pixelformat": u32(16),
  "fmt.pix_mp.field": u32(20),
  "fmt.pix_mp.colorspace": u32(24),
  "fmt.pix_mp.plane_fmt": u32(28), // the first of eight v4l2_plane_pix_format
  "fmt.pix_mp.num_planes": u8(188),
  "fmt.pix_mp.ycbcr_enc": u8(190),
  "fmt.pix_mp.quantization": u8(191),
});
export const v4l2PlanePixFormat = struct("struct v4l2_plane_pix_format", 20, {
  sizeimage: u32(0),
  bytesperline: u32(4),
});

export const v4l2Requestbuffers = struct("struct v4l2_requestbuffers", 20, {
  count: u32(0),
  type: u32(4),
  memory: u32(8),
  capabilities: u32(12),
  flags: u8(16),
});

export const v4l2Buffer = struct("struct v4l2_buffer", 88, {
  index: u32(0),
  type: u32(4),
  bytesused: u32(8),
  flags: u32(12),
  field: u32(16),
  "timestamp.tv_sec": n64(24),
  "timestamp.tv_usec": n64(32),
  sequence: u32(56),
  memory: u32(60),
  "m.offset": u32(64), // union m
  "m.userptr": n64(64),
  "m.planes": n64(64),
  "m.fd": i32(64),
  length: u32(72),
  request_fd: i32(80),
});
export const v4l2Plane = struct("struct v4l2_plane", 64, {
  bytesused: u32(0),
  length: u32(4),
  "m.mem_offset": u32(8), // union m
  "m.userptr": n64(8),
  "m.fd": i32(8),
  data_offset: u32(16),
});

export const v4l2Exportbuffer = struct("struct v4l2_exportbuffer", 64, {
  type: u32(0),
  index: u32(4),
  plane: u32(8),
  flags: u32(12),
  fd: i32(16),
});

export const v4l2Streamparm = struct("struct v4l2_streamparm", 204, {
  type: u32(0),
  "parm.capture.capability": u32(4),
  "parm.capture.capturemode": u32(8),
  "parm.capture.timeperframe.numerator": u32(12),
  "parm.capture.timeperframe.denominator": u32(16),
  "parm.output.timeperframe.numerator": u32(12),
  "parm.output.timeperframe.denominator": u32(16),
});

export const v4l2EventSubscription = struct("struct v4l2_event_subscription", 32, {
  type: u32(0),
  id: u32(4),
  flags: u32(8),
});
export const v4l2Event = struct("struct v4l2_event", 136, {
  type: u32(0),
  "u.src_change.changes": u32(8),
  "u.ctrl.changes": u32(8), // union u
  "u.ctrl.type": u32(12),
  "u.ctrl.value": i32(16),
  "u.ctrl.value64": i64(16),
  "u.ctrl.flags": u32(24),
  "u.ctrl.minimum": i32(28),
  "u.ctrl.maximum": i32(32),
  "u.ctrl.step": i32(36),
  "u.ctrl.default_value": i32(40),
  pending: u32(72),
  sequence: u32(76),
  "timestamp.tv_sec": n64(80),
  "timestamp.tv_nsec": n64(88),
  id: u32(96),
});

export const VIDIOC_QUERYCAP = ior("VIDIOC_QUERYCAP", "V", 0, v4l2Capability);
export const VIDIOC_G_FMT = iowr("VIDIOC_G_FMT", "V", 4, v4l2Format);
export const VIDIOC_S_FMT = iowr("VIDIOC_S_FMT", "V", 5, v4l2Format);
export const VIDIOC_TRY_FMT = iowr("VIDIOC_TRY_FMT", "V", 64, v4l2Format);
export const VIDIOC_REQBUFS = iowr("VIDIOC_REQBUFS", "V", 8, v4l2Requestbuffers);
export const VIDIOC_QUERYBUF = iowr("VIDIOC_QUERYBUF", "V", 9, v4l2Buffer);
export const VIDIOC_QBUF = iowr("VIDIOC_QBUF", "V", 15, v4l2Buffer);
export const VIDIOC_EXPBUF = iowr("VIDIOC_EXPBUF", "V", 16, v4l2Exportbuffer);
export const VIDIOC_DQBUF = iowr("VIDIOC_DQBUF", "V", 17, v4l2Buffer);
export const VIDIOC_STREAMON = iow("VIDIOC_STREAMON", "V", 18, int);
export const VIDIOC_STREAMOFF = iow("VIDIOC_STREAMOFF", "V", 19, int);
export const VIDIOC_G_PARM = iowr("VIDIOC_G_PARM", "V", 21, v4l2Streamparm);
export const VIDIOC_S_PARM = iowr("VIDIOC_S_PARM", "V", 22, v4l2Streamparm);
export const VIDIOC_G_INPUT = ior("VIDIOC_G_INPUT", "V", 38, int);
export const VIDIOC_DQEVENT = ior("VIDIOC_DQEVENT", "V", 89, v4l2Event);
export const VIDIOC_SUBSCRIBE_EVENT = iow("VIDIOC_SUBSCRIBE_EVENT", "V", 90, v4l2EventSubscription);

// Memory-to-memory devices, for stateful decoders: dev-decoder.rst.
export const V4L2_BUF_TYPE_VIDEO_OUTPUT = 2;
export const V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE = 10;
export const V4L2_CAP_VIDEO_M2M_MPLANE = 0x00004000;
export const V4L2_CAP_VIDEO_M2M = 0x00008000;
export const V4L2_BUF_FLAG_LAST = 0x00100000;
export const V4L2_BUF_CAP_SUPPORTS_USERPTR = 2;
export const V4L2_FMT_FLAG_COMPRESSED = 1;
export const V4L2_EVENT_EOS = 2;
export const V4L2_DEC_CMD_START = 0;
export const V4L2_DEC_CMD_STOP = 1;
export const V4L2_SEL_TGT_CROP = 0;
export const V4L2_SEL_TGT_CROP_DEFAULT = 1;
export const V4L2_SEL_TGT_CROP_BOUNDS = 2;
export const V4L2_SEL_FLAG_GE = 1;
export const V4L2_SEL_FLAG_LE = 2;
export const V4L2_SEL_TGT_COMPOSE = 0x100;
export const V4L2_FRMSIZE_TYPE_DISCRETE = 1;
export const V4L2_CID_MIN_BUFFERS_FOR_CAPTURE = 0x00980927;
export const V4L2_CID_MIN_BUFFERS_FOR_OUTPUT = 0x00980928;
export const V4L2_CID_MPEG_VIDEO_BITRATE = 0x009909cf;
export const V4L2_CID_MPEG_VIDEO_H264_LEVEL = 0x00990a67;
export const V4L2_CID_MPEG_VIDEO_H264_PROFILE = 0x00990a6b;
export const V4L2_CID_MPEG_VIDEO_VP8_PROFILE = 0x00990aff;
export const V4L2_CID_MPEG_VIDEO_VP9_PROFILE = 0x00990b00;
export const V4L2_CID_MPEG_VIDEO_HEVC_PROFILE = 0x00990b67;

export const v4l2Fmtdesc = struct("struct v4l2_fmtdesc", 64, {
  index: u32(0),
  type: u32(4),
  flags: u32(8),
  description: writableText(12, 32),
  pixelformat: u32(44),
});
export const v4l2Frmsizeenum = struct("struct v4l2_frmsizeenum", 44, {
  index: u32(0),
  pixel_format: u32(4),
  type: u32(8),
  "discrete.width": u32(12), // union
  "discrete.height": u32(16),
  "stepwise.min_width": u32(12),
  "stepwise.max_width": u32(16),
  "stepwise.step_width": u32(20),
  "stepwise.min_height": u32(24),
  "stepwise.max_height": u32(28),
  "stepwise.step_height": u32(32),
});
export const v4l2Selection = struct("struct v4l2_selection", 64, {
  type: u32(0),
  target: u32(4),
  flags: u32(8),
  "r.left": i32(12),
  "r.top": i32(16),
  "r.width": u32(20),
  "r.height": u32(24),
});
export const v4l2DecoderCmd = struct("struct v4l2_decoder_cmd", 72, { cmd: u32(0), flags: u32(4) });
export const v4l2Control = struct("struct v4l2_control", 8, { id: u32(0), value: i32(4) });
export const v4l2Querymenu = struct("struct v4l2_querymenu", 44, {
  id: u32(0),
  index: u32(4),
  name: writableText(8, 32), // union
  value: i64(8),
});

export const VIDIOC_ENUM_FMT = iowr("VIDIOC_ENUM_FMT", "V", 2, v4l2Fmtdesc);
export const VIDIOC_G_CTRL = iowr("VIDIOC_G_CTRL", "V", 27, v4l2Control);
export const VIDIOC_S_CTRL = iowr("VIDIOC_S_CTRL", "V", 28, v4l2Control);
export const VIDIOC_QUERYMENU = iowr("VIDIOC_QUERYMENU", "V", 37, v4l2Querymenu);
export const VIDIOC_ENUM_FRAMESIZES = iowr("VIDIOC_ENUM_FRAMESIZES", "V", 74, v4l2Frmsizeenum);
export const VIDIOC_G_SELECTION = iowr("VIDIOC_G_SELECTION", "V", 94, v4l2Selection);
export const VIDIOC_DECODER_CMD = iowr("VIDIOC_DECODER_CMD", "V", 96, v4l2DecoderCmd);

// What a device is and has, for people: lists of rates and controls.
export const V4L2_CAP_META_CAPTURE = 0x00800000;
export const V4L2_CAP_META_OUTPUT = 0x08000000;
export const V4L2_FMT_FLAG_EMULATED = 2;
export const V4L2_FRMIVAL_TYPE_DISCRETE = 1;
export const V4L2_CTRL_TYPE_INTEGER = 1;
export const V4L2_CTRL_TYPE_BOOLEAN = 2;
export const V4L2_CTRL_TYPE_MENU = 3;
export const V4L2_CTRL_TYPE_BUTTON = 4;
export const V4L2_CTRL_TYPE_INTEGER64 = 5;
export const V4L2_CTRL_TYPE_CTRL_CLASS = 6;
export const V4L2_CTRL_TYPE_STRING = 7;
export const V4L2_CTRL_TYPE_BITMASK = 8;
export const V4L2_CTRL_TYPE_INTEGER_MENU = 9;
export const V4L2_CTRL_FLAG_DISABLED = 0x0001;
export const V4L2_CTRL_FLAG_GRABBED = 0x0002;
export const V4L2_CTRL_FLAG_READ_ONLY = 0x0004;
export const V4L2_CTRL_FLAG_INACTIVE = 0x0010;
export const V4L2_CTRL_FLAG_WRITE_ONLY = 0x0040;
export const V4L2_CTRL_FLAG_VOLATILE = 0x0080;
export const V4L2_CTRL_FLAG_HAS_PAYLOAD = 0x0100;
export const V4L2_CTRL_FLAG_NEXT_CTRL = 0x80000000;
export const V4L2_CTRL_FLAG_NEXT_COMPOUND = 0x40000000;
export const V4L2_CID_BASE = 0x00980900;

export const v4l2Frmivalenum = struct("struct v4l2_frmivalenum", 52, {
  index: u32(0),
  pixel_format: u32(4),
  width: u32(8),
  height: u32(12),
  type: u32(16),
  "discrete.numerator": u32(20), // union
  "discrete.denominator": u32(24),
  "stepwise.min.numerator": u32(20),
  "stepwise.min.denominator": u32(24),
  "stepwise.max.numerator": u32(28),
  "stepwise.max.denominator": u32(32),
});
export const v4l2Queryctrl = struct("struct v4l2_queryctrl", 68, {
  id: u32(0),
  type: u32(4),
  name: writableText(8, 32),
  minimum: i32(40),
  maximum: i32(44),
  step: i32(48),
  default_value: i32(52),
  flags: u32(56),
});
export const v4l2QueryExtCtrl = struct("struct v4l2_query_ext_ctrl", 232, {
  id: u32(0),
  type: u32(4),
  name: writableText(8, 32),
  minimum: i64(40),
  maximum: i64(48),
  step: u64(56),
  default_value: i64(64),
  flags: u32(72),
  elem_size: u32(76),
  elems: u32(80),
  nr_of_dims: u32(84),
});
export const v4l2ExtControl = struct("struct v4l2_ext_control", 20, {
  id: u32(0),
  size: u32(4),
  value: i32(12), // union
  value64: i64(12),
  string: n64(12),
});
export const v4l2ExtControls = struct("struct v4l2_ext_controls", 32, {
  which: u32(0), // union with ctrl_class, its name in old headers
  count: u32(4),
  error_idx: u32(8),
  controls: n64(24),
});

export const VIDIOC_QUERYCTRL = iowr("VIDIOC_QUERYCTRL", "V", 36, v4l2Queryctrl);
export const VIDIOC_G_EXT_CTRLS = iowr("VIDIOC_G_EXT_CTRLS", "V", 71, v4l2ExtControls);
export const VIDIOC_S_EXT_CTRLS = iowr("VIDIOC_S_EXT_CTRLS", "V", 72, v4l2ExtControls);
export const VIDIOC_ENUM_FRAMEINTERVALS = iowr(
  "VIDIOC_ENUM_FRAMEINTERVALS",
  "V",
  75,
  v4l2Frmivalenum,
);
export const VIDIOC_QUERY_EXT_CTRL = iowr("VIDIOC_QUERY_EXT_CTRL", "V", 103, v4l2QueryExtCtrl);

// What a device of its own needs that plays the kernel's side for a guest: src/media.
export const V4L2_CAP_EXT_PIX_FORMAT = 0x00200000;
export const V4L2_BUF_FLAG_MAPPED = 0x00000001;
export const V4L2_BUF_FLAG_QUEUED = 0x00000002;
export const V4L2_BUF_FLAG_PREPARED = 0x00000400;
export const V4L2_BUF_CAP_SUPPORTS_MMAP = 1;
export const V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS = 16;
export const V4L2_INPUT_TYPE_CAMERA = 2;
export const V4L2_EVENT_ALL = 0;
export const V4L2_EVENT_CTRL = 3;
export const V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK = 2;
export const V4L2_EVENT_CTRL_CH_VALUE = 1;
export const V4L2_EVENT_CTRL_CH_FLAGS = 2;
export const V4L2_CTRL_WHICH_CUR_VAL = 0;
export const V4L2_CTRL_WHICH_DEF_VAL = 0x0f000000;

export const v4l2CreateBuffers = struct("struct v4l2_create_buffers", 256, {
  index: u32(0),
  count: u32(4),
  memory: u32(8),
  "format.type": u32(16),
  "format.fmt.pix.width": u32(24),
  "format.fmt.pix.height": u32(28),
  "format.fmt.pix.pixelformat": u32(32),
  "format.fmt.pix.sizeimage": u32(44),
  capabilities: u32(224),
  flags: u32(228),
});
export const v4l2Input = struct("struct v4l2_input", 80, {
  index: u32(0),
  name: writableText(4, 32),
  type: u32(36),
});

export const VIDIOC_ENUMINPUT = iowr("VIDIOC_ENUMINPUT", "V", 26, v4l2Input);
export const VIDIOC_S_INPUT = iowr("VIDIOC_S_INPUT", "V", 39, int);
export const VIDIOC_TRY_EXT_CTRLS = iowr("VIDIOC_TRY_EXT_CTRLS", "V", 73, v4l2ExtControls);
export const VIDIOC_UNSUBSCRIBE_EVENT = iow(
  "VIDIOC_UNSUBSCRIBE_EVENT",
  "V",
  91,
  v4l2EventSubscription,
);
export const VIDIOC_CREATE_BUFS = iowr("VIDIOC_CREATE_BUFS", "V", 92, v4l2CreateBuffers);
export const VIDIOC_PREPARE_BUF = iowr("VIDIOC_PREPARE_BUF", "V", 93, v4l2Buffer);
export const VIDIOC_S_SELECTION = iowr("VIDIOC_S_SELECTION", "V", 95, v4l2Selection);

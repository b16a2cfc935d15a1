// Numbers and structs of the virtio-video draft v3, with the EXT commands of the AOSP header. Everything is little-endian.
import type { Field, Fields } from "../../ffi/struct.ts";
import { struct, text, u32, u64, words } from "../../ffi/struct.ts";

export const VIRTIO_ID_VIDEO_DECODER = 31;
export const F_RESOURCE_GUEST_PAGES = 1n << 0n;
export const F_RESOURCE_NON_CONTIG = 1n << 1n;

export const INPUT = 0x100;
export const OUTPUT = 0x101;
export type QueueType = typeof INPUT | typeof OUTPUT;
export const GUEST_PAGES = 0;
export const VIRTIO_OBJECT = 1;
export const SINGLE_BUFFER = 1;
export const PER_PLANE = 2;
export const MAX_PLANES = 8;
export const BUFFER_ERR = 1;
export const BUFFER_EOS = 2;
export const EVENT_ERROR = 0x100;
export const EVENT_RESOLUTION_CHANGED = 0x200;

/** Response types. Drivers take numbers from 0x300 on as errors. */
export const response = {
  OK_NODATA: 0x200,
  OK_QUERY_CAPABILITY: 0x201,
  OK_RESOURCE_QUEUE: 0x202,
  OK_GET_PARAMS: 0x203,
  OK_QUERY_CONTROL: 0x204,
  OK_GET_CONTROL: 0x205,
  ERR_INVALID_OPERATION: 0x300,
  ERR_OUT_OF_MEMORY: 0x301,
  ERR_INVALID_STREAM_ID: 0x302,
  ERR_INVALID_RESOURCE_ID: 0x303,
  ERR_INVALID_PARAMETER: 0x304,
  ERR_UNSUPPORTED_CONTROL: 0x305,
} as const;

/** A command that is refused; `code` is the response type that tells the driver why, the message says it in words. */
export class VideoError extends Error {
  override readonly name = "VideoError";
  readonly code: number;
  readonly codeName: keyof typeof response;
  constructor(code: keyof typeof response, reason: string) {
    super(reason);
    this.code = response[code];
    this.codeName = code;
  }
}

/** Throws VideoError unless `holds`. */
export function check(holds: boolean, reason: string): asserts holds {
  if (!holds) throw new VideoError("ERR_INVALID_PARAMETER", reason);
}

/** The queue type in a command. Throws VideoError. */
export function queueType(value: number): QueueType {
  check(value === INPUT || value === OUTPUT, "the queue is neither INPUT nor OUTPUT");
  return value;
}

/** The memory type in a command. Throws VideoError. */
export function memoryType(value: number): number {
  check(value === GUEST_PAGES || value === VIRTIO_OBJECT, "no such memory type");
  return value;
}

/** Controls by number; profile and level depend on the coded format. */
export const control = { BITRATE: 1, PROFILE: 2, LEVEL: 3, FORCE_KEYFRAME: 4 } as const;

const define = <const F extends Fields>(name: string, size: number, fields: F) =>
  struct(name, size, { type: u32(0), stream_id: u32(4), ...fields }, "little");

export const cmdHeader = define("struct virtio_video_cmd_hdr", 8, {});
export const queryCapability = define("struct virtio_video_query_capability", 16, {
  queue_type: u32(8),
});
export const streamCreate = define("struct virtio_video_stream_create", 88, {
  in_mem_type: u32(8),
  out_mem_type: u32(12),
  coded_format: u32(16),
  tag: text(24, 64),
});
export const resourceCreate = define("struct virtio_video_resource_create", 88, {
  queue_type: u32(8),
  resource_id: u32(12),
  planes_layout: u32(16),
  num_planes: u32(20),
  plane_offsets: words(24, MAX_PLANES),
  num_entries: words(56, MAX_PLANES),
});
export const resourceQueue = define("struct virtio_video_resource_queue", 64, {
  queue_type: u32(8),
  resource_id: u32(12),
  timestamp: u64(16),
  num_data_sizes: u32(24),
  data_sizes: words(28, MAX_PLANES),
});
/** Every command with only a queue in its body. */
export const queueCommand = define("struct virtio_video_queue_clear", 16, { queue_type: u32(8) });
export const controlCommand = define("struct virtio_video_get_control", 16, { control: u32(8) });
export const queryControlFormat = define("struct virtio_video_query_control", 24, {
  control: u32(8),
  format: u32(16),
});
export const setControl = define("struct virtio_video_set_control", 24, {
  control: u32(8),
  value: u32(16),
});

/** struct virtio_video_params, after the header. */
const params = {
  queue_type: u32(8),
  format: u32(12),
  frame_width: u32(16),
  frame_height: u32(20),
  min_buffers: u32(24),
  max_buffers: u32(28),
  "crop.left": u32(32),
  "crop.top": u32(36),
  "crop.width": u32(40),
  "crop.height": u32(44),
  frame_rate: u32(48),
  num_planes: u32(52),
  "plane_formats[0].plane_size": u32(56),
  "plane_formats[0].stride": u32(60),
} as const satisfies Record<string, Field<number>>;
export const plainParams = define("struct virtio_video_set_params", 120, params);
export const extParams = define("struct virtio_video_set_params_ext", 128, {
  ...params,
  resource_type: u32(120),
});

export const queuedResponse = define("struct virtio_video_resource_queue_resp", 24, {
  timestamp: u64(8),
  flags: u32(16),
  size: u32(20),
});
export const controlResponse = define("struct virtio_video_get_control_resp", 16, {
  value: u32(8),
});
/** Head of the answers to QUERY_CAPABILITY and QUERY_CONTROL, which are lists. */
export const listResponse = define("struct virtio_video_query_capability_resp", 16, {
  num: u32(8),
});
export const formatDesc = struct(
  "struct virtio_video_format_desc",
  24,
  {
    mask: u64(0),
    format: u32(8),
    planes_layout: u32(12),
    plane_align: u32(16),
    num_frames: u32(20),
  },
  "little",
);
export const formatFrame = struct(
  "struct virtio_video_format_frame",
  40,
  {
    "width.min": u32(0),
    "width.max": u32(4),
    "width.step": u32(8),
    "height.min": u32(16),
    "height.max": u32(20),
    "height.step": u32(24),
    num_rates: u32(32),
  },
  "little",
);
export const event = struct(
  "struct virtio_video_event",
  8,
  { event_type: u32(0), stream_id: u32(4) },
  "little",
);
export const config = struct(
  "struct virtio_video_config",
  44,
  { version: u32(0), max_caps_length: u32(4), max_resp_length: u32(8), device_name: text(12, 32) },
  "little",
);

// Numbers and structs of a virtio-media device: VIRTIO 1.4, "Media Device". Everything is little-endian.
import { struct, u32, u64, writableText } from "../../ffi/struct.ts";

export const VIRTIO_ID_MEDIA = 48;
/** device_type of a video node; drivers support no other. */
export const TYPE_VIDEO = 0;
/** Commands. */
export const OPEN = 1;
export const CLOSE = 2;
export const IOCTL = 3;
export const MMAP = 4;
export const MUNMAP = 5;
/** Events. */
export const EVENT_DQBUF = 1;
export const EVENT_EVENT = 2;

const define = <const F extends Parameters<typeof struct>[2]>(
  name: string,
  size: number,
  fields: F,
) => struct(name, size, fields, "little");

export const config = define("struct virtio_media_config", 40, {
  device_caps: u32(0),
  device_type: u32(4),
  card: writableText(8, 32),
});

/** The head of every command. */
export const header = define("struct virtio_media_cmd_header", 8, { cmd: u32(0) });
export const closeCommand = define("struct virtio_media_cmd_close", 16, { session_id: u32(8) });
export const ioctlCommand = define("struct virtio_media_cmd_ioctl", 16, {
  session_id: u32(8),
  code: u32(12),
});
export const mmapCommand = define("struct virtio_media_cmd_mmap", 20, {
  session_id: u32(8),
  flags: u32(12),
  offset: u32(16),
});
export const munmapCommand = define("struct virtio_media_cmd_munmap", 16, { driver_addr: u64(8) });

/** The head of every answer: 0, or a positive errno of Linux. */
export const answerHeader = define("struct virtio_media_resp_header", 8, { status: u32(0) });
export const openAnswer = define("struct virtio_media_resp_open", 16, {
  status: u32(0),
  session_id: u32(8),
});
export const mmapAnswer = define("struct virtio_media_resp_mmap", 24, {
  status: u32(0),
  driver_addr: u64(8),
  len: u64(16),
});

/** The head of every event. */
export const eventHeader = define("struct virtio_media_event_header", 8, {
  event: u32(0),
  session_id: u32(4),
});
/** A v4l2_buffer and eight v4l2_plane follow the head; drivers refuse a shorter event. */
export const DQBUF_EVENT_BYTES = 608;
/** A v4l2_event follows the head. */
export const EVENT_EVENT_BYTES = 144;

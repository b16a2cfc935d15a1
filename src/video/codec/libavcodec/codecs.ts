// What libavcodec decodes for guests, one row for each coded format of virtio-video.

export interface SoftwareCodec {
  /** The number of virtio-video (formats.ts). */
  readonly format: number;
  /** FFmpeg's name, as `ffmpeg -codecs` lists it. */
  readonly name: string;
  /**
   * Whether the bitstream shows where its units begin, so that buffers may have any part of it. Otherwise each buffer has one
   * unit: V4L2 demands that of VP8 and VP9.
   */
  readonly parsed: boolean;
}

export const softwareCodecs: readonly SoftwareCodec[] = [
  { format: 0x1000, name: "mpeg2video", parsed: true },
  { format: 0x1001, name: "mpeg4", parsed: true },
  { format: 0x1002, name: "h264", parsed: true },
  { format: 0x1003, name: "hevc", parsed: true },
  { format: 0x1004, name: "vp8", parsed: false },
  { format: 0x1005, name: "vp9", parsed: false },
];

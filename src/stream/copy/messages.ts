// The copy flow's own message, big endian: docs/protocol.md.
import { n64, type Struct, struct, u32 } from "../../../ffi/struct.ts";

/** Sent before the `bytesused` bytes of each frame. */
export const frameHeader = struct(
  "frame",
  40,
  {
    magic: u32(0),
    index: u32(4),
    bytesused: u32(8),
    flags: u32(12),
    sequence: n64(16),
    ts_sec: n64(24),
    ts_usec: n64(32),
  },
  "big",
);

export type FrameHeader = Struct<typeof frameHeader.fields>;

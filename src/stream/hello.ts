// The hello, with which both flows begin, and the checks that both need; big endian. docs/protocol.md.
// Every field that a peer sends is checked before it is used.
import { type Struct, struct, u32 } from "../../ffi/struct.ts";
import { ProtocolError } from "../errors.ts";
import { fourccName, pixelFormat } from "../format/formats.ts";
import { type Picture, pictureBytes } from "../format/picture-layout.ts";
import type { StreamInfo } from "../frame/frame.ts";

export const HELLO_MAGIC = 0x56344c42;
export const FRAME_MAGIC = 0x5652464d;
export const HANDLE_MAGIC = 0x56484e44;
export const VERSION = 2;
export const MAX_SIDE = 16_384;
export const MAX_BUFFERS = 64;

/** Sent once, first, sender to receiver. */
export const hello = struct(
  "hello",
  28,
  {
    magic: u32(0),
    version: u32(4),
    width: u32(8),
    height: u32(12),
    pixelformat: u32(16),
    sizeimage: u32(20),
    buffer_count: u32(24),
  },
  "big",
);

function within(field: string, value: number, least: number, most: number, unit = ""): void {
  if (value >= least && value <= most) return;
  throw new ProtocolError(`hello: ${field} is ${value}, must be ${least} to ${most}${unit}`);
}

/** A 32-bit number as error texts show it. */
export const hex = (value: number) => `0x${value.toString(16).padStart(8, "0")}`;

/** Makes the hello of a stream. */
export function makeHello(picture: Picture, bufferCount: number): Struct<typeof hello.fields> {
  const message = hello.alloc();
  message.magic = HELLO_MAGIC;
  message.version = VERSION;
  message.width = picture.width;
  message.height = picture.height;
  message.pixelformat = picture.pixelformat;
  message.sizeimage = picture.sizeimage;
  message.buffer_count = bufferCount;
  return message;
}

/** The error's text for a peer whose first bytes are no hello. */
export const wrongMagic = (magic: number) =>
  `hello: magic is ${hex(magic)}, must be ${hex(HELLO_MAGIC)}; what connected is no sender`;

/** Reads a hello. Throws ProtocolError that names the field, the value and the limit. */
export function checkHello(message: Struct<typeof hello.fields>, maxFrame: number): StreamInfo {
  const {
    magic,
    version,
    width,
    height,
    pixelformat,
    sizeimage,
    buffer_count: bufferCount,
  } = message;
  if (magic !== HELLO_MAGIC) throw new ProtocolError(wrongMagic(magic));
  within("version", version, VERSION, VERSION);
  within("width", width, 1, MAX_SIDE);
  within("height", height, 1, MAX_SIDE);
  const format = pixelFormat(pixelformat);
  const least = format === undefined ? 1 : pictureBytes(format, width, height);
  const what = ` bytes (${width}x${height} ${fourccName(pixelformat)}, --max-frame)`;
  if (least > maxFrame) within("sizeimage", least, 1, maxFrame, what); // of any frame of this size
  within("sizeimage", sizeimage, least, maxFrame, what);
  within("buffer_count", bufferCount, 1, MAX_BUFFERS);
  return { width, height, pixelformat, sizeimage, bufferCount };
}

/** Checks a frame's message of either flow. Throws ProtocolError. */
export function checkFrame(
  frame: { readonly magic: number; readonly bytesused: number },
  sizeimage: number,
): void {
  if (frame.magic !== FRAME_MAGIC) {
    const hint =
      frame.magic === HANDLE_MAGIC
        ? "; this stream is from sender_zc: use receiver_zc, or send with sender"
        : "";
    throw new ProtocolError(
      `frame: magic is ${hex(frame.magic)}, must be ${hex(FRAME_MAGIC)}${hint}`,
    );
  }
  if (frame.bytesused > sizeimage) {
    throw new ProtocolError(
      `frame: bytesused is ${frame.bytesused}, must be 0 to ${sizeimage} (sizeimage)`,
    );
  }
}

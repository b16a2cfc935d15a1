// Makes a PNG of a frame, whatever its format: drawn from its components, or decoded where it is JPEG.
import { addressOf } from "../../ffi/libc.ts";
import { JpegDecoder } from "../../ffi/turbojpeg.ts";
import { needLibrary } from "../errors.ts";
import { Canvas } from "../format/canvas.ts";
import { fourccName, pixelFormat, pixelFormatNamed } from "../format/formats.ts";
import type { Picture } from "../format/picture-layout.ts";
import { PictureMemory } from "../format/picture-memory.ts";
import { encodeRgb } from "../format/png.ts";
import { rowsOf, unfitText } from "../format/rows.ts";

/** Fast compression: a request waits for the picture. */
const PNG_LEVEL = 2;

/** 7680x4320 and some more. A hello of a few bytes can announce a JPEG picture of gigabytes. */
const MOST_PIXELS = 40e6;

/** Encodes the frame in `bytes`. Answers why it cannot be shown as text. Throws UnavailableError for a missing library. */
export function makePng(stream: Picture, bytes: Uint8Array<ArrayBuffer>): Uint8Array | string {
  if (stream.width * stream.height > MOST_PIXELS)
    return `a picture of ${stream.width}x${stream.height} is too large to be shown`;
  const canvas = canvasOf(stream, bytes);
  if (typeof canvas === "string") return canvas;
  const { width, height } = canvas;
  return encodeRgb({ width, height, data: canvas.toRgb() }, PNG_LEVEL);
}

function canvasOf(stream: Picture, bytes: Uint8Array<ArrayBuffer>): Canvas | string {
  const { width, height, pixelformat } = stream;
  const format = pixelFormat(pixelformat);
  const name = fourccName(pixelformat);
  if (format === undefined) {
    if (name === "MJPG" || name === "JPEG") return decodeJpeg(stream, bytes);
    return `a picture in ${name} cannot be shown`;
  }
  const rows = rowsOf(format, width, height, bytes.length);
  if (rows === undefined || rows === "short") return unfitText(format, stream, bytes.length);
  const planes = rows.map(({ offset, rows: count, stride }) => ({
    offset,
    rowBytes: stride,
    rows: count,
  }));
  // The last row need not be as long as the others.
  const needs = Math.max(...planes.map((plane) => plane.offset + plane.rowBytes * plane.rows));
  const whole = new Uint8Array(needs);
  whole.set(bytes.subarray(0, needs));
  return new Canvas(whole, format, width, height, planes);
}

/** The format that libturbojpeg decodes to. */
const decodedFormat = pixelFormatNamed("XR24");

function decodeJpeg({ width, height }: Picture, bytes: Uint8Array<ArrayBuffer>): Canvas | string {
  if (decodedFormat === undefined) throw new Error("the table has no XR24");
  using decoder = needLibrary(() => new JpegDecoder(), "libturbojpeg0");
  const at = addressOf(bytes);
  // Before memory is made for the size that the sender has announced.
  const differs = decoder.differs(at, bytes.length, { width, height });
  if (differs !== undefined) return differs;
  const picture = new PictureMemory(decodedFormat, width, height);
  const to = { address: picture.address, pitch: width * 4, width, height };
  return decoder.decode(at, bytes.length, to) ?? picture.canvas();
}

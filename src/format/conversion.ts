// Converts the frames of a stream, whatever padding their rows have, to pictures of another format or size.
import { copyMemory } from "../../ffi/copy.ts";
import { Scaler, type ScalerSide, SWSCALE_PACKAGES } from "../../ffi/swscale.ts";
import { needLibrary } from "../errors.ts";
import { type PixelFormat, type PlaneShape, pixelFormatNamed } from "./formats.ts";
import { layoutOf, type Picture, type PlaneLayout } from "./picture-layout.ts";
import { alignedLayout, type Part, PictureMemory } from "./picture-memory.ts";
import { type PlaneRows, RowFinder, unfitText } from "./rows.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The largest part of `into` with the shape of `picture`, in the middle, on whole chroma samples. */
export function fittedPart(picture: Size, into: Size): Part {
  const scale = Math.min(into.width / picture.width, into.height / picture.height);
  const even = (length: number, most: number) =>
    Math.min(most, Math.max(2, 2 * Math.round((length * scale) / 2)));
  const width = even(picture.width, into.width);
  const height = even(picture.height, into.height);
  const middle = (outer: number, inner: number) => 2 * Math.floor((outer - inner) / 4);
  return { left: middle(into.width, width), top: middle(into.height, height), width, height };
}

/** Converts the frame in the `bytes` at `address`. Answers what is wrong with them, or undefined. Throws CallError. */
export type Convert = (address: number, bytes: number) => string | undefined;

/** Whether the rows of a frame have no padding. */
export const isTight = (rows: readonly PlaneRows[]) =>
  rows.every(({ rowBytes, stride }) => rowBytes === stride);

/** Answers what converts the picture that is in `from` into the part of `to` with its shape. */
export function scalerFor(
  from: PictureMemory,
  to: PictureMemory,
  owned: DisposableStack,
): () => void {
  const { width, height } = from;
  const source = from.side({ left: 0, top: 0, width, height });
  const part = fittedPart(from, to);
  const make = (target: ScalerSide) =>
    owned.use(needLibrary(() => new Scaler(source, target), SWSCALE_PACKAGES));
  const sameSize = part.width === width && part.height === height;
  if (!sameSize || !separatesChroma(from, to) || to.isAligned(part)) {
    const scaler = make(to.side(part));
    return () => scaler.run();
  }
  const { format } = to;
  const between = new PictureMemory(format, width, height, alignedLayout(format, width, height));
  const scaler = make(between.side({ left: 0, top: 0, width, height }));
  const tight = layoutOf(format, width, height);
  return () => {
    scaler.run();
    copyPlanes(between, to, part, tight);
  };
}

/** libswscale separates interleaved chroma with instructions that end the process where a row is not aligned. */
const separatesChroma = ({ format: a }: PictureMemory, { format: b }: PictureMemory) =>
  a.model === "yuv" && a.planes.length === 2 && b.model === "yuv" && b.planes.length === 3;

/** Copies a picture of the size of `part`, whose rows are as long as those of `tight`, into that part of `to`. */
function copyPlanes(
  from: PictureMemory,
  to: PictureMemory,
  { left, top }: Part,
  tight: readonly PlaneLayout[],
): void {
  for (let i = 0; i < tight.length; i++) {
    const { rowBytes, rows } = tight[i] as PlaneLayout;
    const { offset, rowBytes: stride } = from.planes[i] as PlaneLayout;
    const { offset: at, rowBytes: pitch } = to.planes[i] as PlaneLayout;
    const { bytes, across, down } = to.format.planes[i] as PlaneShape;
    const start = to.address + at + (top / down) * pitch + (left / across) * bytes;
    for (let y = 0; y < rows; y++)
      copyMemory(start + y * pitch, from.address + offset + y * stride, rowBytes);
  }
}

/** Copies the picture of a frame, whatever padding the rows of either side have. */
export function copyInto(from: Picture, format: PixelFormat, to: PictureMemory): Convert {
  const finder = new RowFinder(format, from);
  const { planes } = to;
  return (address, bytes) => {
    const start = to.address; // what uses an address keeps the object that owns the memory
    const rows = finder.find(bytes);
    if (rows === undefined || rows === "short") return unfitText(format, from, bytes);
    for (let i = 0; i < rows.length; i++) {
      const { offset, rowBytes, rows: count, stride } = rows[i] as PlaneRows;
      const { offset: at, rowBytes: pitch } = planes[i] as PlaneLayout;
      if (stride === pitch)
        copyMemory(start + at, address + offset, stride * (count - 1) + rowBytes);
      else
        for (let y = 0; y < count; y++)
          copyMemory(start + at + y * pitch, address + offset + y * stride, rowBytes);
    }
    return undefined;
  };
}

/** The frame is copied first: libswscale may read some bytes after a picture, which may be the end of the mapping. */
export function copyAndScale(
  from: Picture,
  format: PixelFormat,
  to: PictureMemory,
  owned: DisposableStack,
): Convert {
  const { width, height } = from;
  // libswscale takes grey alone for full range where it makes RGB of it, and yuv420p10 for full range where it makes grey.
  const neutral = format.model === "grey" && to.format.model === "rgb";
  const source = neutral
    ? greyMemory(format, width, height)
    : new PictureMemory(format, width, height);
  const scale = scalerFor(source, to, owned);
  const copy = copyInto(from, format, source);
  return (address, bytes) => {
    const wrong = copy(address, bytes);
    if (wrong === undefined) scale();
    return wrong;
  };
}

/** Memory for a grey picture with neutral chroma behind it. */
function greyMemory(format: PixelFormat, width: number, height: number): PictureMemory {
  const { count } = format.components[0]?.bits ?? {};
  if (count === undefined) {
    const memory = new PictureMemory(withChroma, width, height);
    memory.bytes.fill(128);
    return memory;
  }
  const [luma] = format.planes;
  const chroma = { bytes: 2, across: 2, down: 2 };
  const planes = luma === undefined ? [] : [luma, chroma, chroma];
  const components = planes.map(({ across, down }, plane) => ({
    plane,
    offset: 0,
    step: 2,
    across,
    down,
  }));
  const deep = { ...format, planes, components, ffmpeg: `yuv420p${count}le` };
  const memory = new PictureMemory(deep, width, height);
  const { buffer, byteOffset, length } = memory.bytes;
  new Uint16Array(buffer, byteOffset, length >> 1).fill(1 << (count - 1));
  return memory;
}

const withChroma = pixelFormatNamed("YU12") as PixelFormat;

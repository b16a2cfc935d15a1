// Pixel formats, one row each. Options, wire, drawing, PNG and file headers use the rows. The names are V4L2 fourccs
// (videodev2.h).

import { UsageError } from "../errors.ts";

/** One plane: `bytes` for every group of `across` x `down` pixels. */
export interface PlaneShape {
  readonly bytes: number;
  readonly across: number;
  readonly down: number;
}

/** One colour component: its plane, its first byte, the distance to the next sample. */
export interface Component {
  readonly plane: number;
  readonly offset: number;
  readonly step: number;
  /** Pixels per sample. */
  readonly across: number;
  readonly down: number;
  /**
   * Its bits in the little-endian 16-bit word there. Without this it is the whole byte. With more than eight, the upper eight
   * are the value of 8-bit formats.
   */
  readonly bits?: { readonly shift: number; readonly count: number };
}

export interface PixelFormat {
  readonly name: string;
  /** Meaning of the first, second and third component. */
  readonly model: "yuv" | "rgb" | "grey";
  readonly planes: readonly PlaneShape[];
  readonly components: readonly Component[];
  /** ffmpeg's name for the format, for the ffplay command line. */
  readonly ffmpeg: string;
  /** GStreamer's name, and the one of V4L2's macro after V4L2_PIX_FMT_, where they are not `name`. */
  readonly gstreamer?: string;
  readonly macro?: string;
  /** The YUV4MPEG2 colour space tag that its samples have in separate planes, if there is one. */
  readonly y4m?: string;
  /**
   * SDL_PixelFormatEnum of the texture that takes its rows unchanged; without one a window converts them. Grey formats also
   * need neutral chroma.
   */
  readonly sdl?: number;
  /** For a format with separate memory planes: the format with contiguous planes that it is sent as. */
  readonly sentAs?: string;
}

const at = (plane: number, offset: number, step: number, across = 1, down = 1): Component => ({
  plane,
  offset,
  step,
  across,
  down,
});
const pair: PlaneShape = { bytes: 4, across: 2, down: 1 };
const full: PlaneShape = { bytes: 1, across: 1, down: 1 };
const quarter: PlaneShape = { bytes: 1, across: 2, down: 2 };
const quarters: PlaneShape = { bytes: 2, across: 2, down: 2 };

/** 4:2:2 in groups of four bytes: the bytes of the first luma sample and of the chroma samples. */
const packed = (y: number, u: number, v: number) => ({
  model: "yuv" as const,
  planes: [pair],
  components: [at(0, y, 2), at(0, u, 4, 2), at(0, v, 4, 2)],
});
const nv = (u: number, v: number) => ({
  model: "yuv" as const,
  planes: [full, quarters],
  components: [at(0, 0, 1), at(1, u, 2, 2, 2), at(1, v, 2, 2, 2)],
});
const planar = (u: number, v: number) => ({
  model: "yuv" as const,
  planes: [full, quarter, quarter],
  components: [at(0, 0, 1), at(u, 0, 1, 2, 2), at(v, 0, 1, 2, 2)],
});
const rgb = (bytes: number, r: number, g: number, b: number) => ({
  model: "rgb" as const,
  planes: [{ bytes, across: 1, down: 1 }],
  components: [at(0, r, bytes), at(0, g, bytes), at(0, b, bytes)],
});
const bits = (shift: number, count: number): Component => ({
  ...at(0, 0, 2),
  bits: { shift, count },
});
const word: PlaneShape = { bytes: 2, across: 1, down: 1 };
/** Grey in 16-bit words, of which the lower bits are used. */
const greyWords = (count: number) => ({
  model: "grey" as const,
  planes: [word],
  components: [bits(0, count)],
});

export const formats: readonly PixelFormat[] = [
  {
    name: "YUYV",
    ...packed(0, 1, 3),
    ffmpeg: "yuyv422",
    gstreamer: "YUY2",
    y4m: "422",
    sdl: fourcc("YUY2"),
  },
  { name: "UYVY", ...packed(1, 0, 2), ffmpeg: "uyvy422", y4m: "422", sdl: fourcc("UYVY") },
  { name: "YVYU", ...packed(0, 3, 1), ffmpeg: "yvyu422", y4m: "422", sdl: fourcc("YVYU") },
  { name: "NV12", ...nv(0, 1), ffmpeg: "nv12", y4m: "420jpeg", sdl: fourcc("NV12") },
  { name: "NV21", ...nv(1, 0), ffmpeg: "nv21", y4m: "420jpeg", sdl: fourcc("NV21") },
  {
    name: "YU12",
    ...planar(1, 2),
    ffmpeg: "yuv420p",
    gstreamer: "I420",
    macro: "YUV420",
    y4m: "420jpeg",
    sdl: fourcc("IYUV"),
  },
  {
    name: "YV12",
    ...planar(2, 1),
    ffmpeg: "yuv420p -vf shuffleplanes=0:2:1",
    macro: "YVU420",
    y4m: "420jpeg",
    sdl: fourcc("YV12"),
  },
  { name: "NM12", ...nv(0, 1), ffmpeg: "nv12", macro: "NV12M", y4m: "420jpeg", sentAs: "NV12" },
  { name: "NM21", ...nv(1, 0), ffmpeg: "nv21", macro: "NV21M", y4m: "420jpeg", sentAs: "NV21" },
  {
    name: "YM12",
    ...planar(1, 2),
    ffmpeg: "yuv420p",
    macro: "YUV420M",
    y4m: "420jpeg",
    sentAs: "YU12",
  },
  {
    name: "RGB3",
    ...rgb(3, 0, 1, 2),
    ffmpeg: "rgb24",
    gstreamer: "RGB",
    macro: "RGB24",
    sdl: 0x1710_1803,
  },
  {
    name: "BGR3",
    ...rgb(3, 2, 1, 0),
    ffmpeg: "bgr24",
    gstreamer: "BGR",
    macro: "BGR24",
    sdl: 0x1740_1803,
  },
  {
    name: "XR24",
    ...rgb(4, 2, 1, 0),
    ffmpeg: "bgr0",
    gstreamer: "BGRx",
    macro: "XBGR32",
    sdl: 0x1616_1804,
  },
  {
    name: "RGBP",
    model: "rgb",
    planes: [word],
    components: [bits(11, 5), bits(5, 6), bits(0, 5)],
    ffmpeg: "rgb565le",
    gstreamer: "RGB16",
    macro: "RGB565",
    sdl: 0x1515_1002,
  },
  {
    name: "GREY",
    model: "grey",
    planes: [full],
    components: [at(0, 0, 1)],
    ffmpeg: "gray",
    gstreamer: "GRAY8",
    y4m: "mono",
    sdl: fourcc("IYUV"),
  },
  { name: "Y10", ...greyWords(10), ffmpeg: "gray10le" },
  { name: "Y12", ...greyWords(12), ffmpeg: "gray12le" },
  { name: "Y16", ...greyWords(16), ffmpeg: "gray16le", gstreamer: "GRAY16_LE" },
  {
    name: "P010",
    model: "yuv",
    planes: [word, { bytes: 4, across: 2, down: 2 }],
    components: [
      bits(6, 10),
      { ...at(1, 0, 4, 2, 2), bits: { shift: 6, count: 10 } },
      { ...at(1, 2, 4, 2, 2), bits: { shift: 6, count: 10 } },
    ],
    ffmpeg: "p010le",
    gstreamer: "P010_10LE",
  },
];

/**
 * The number of a format's name, in V4L2 and on the wire. Names of fewer than four characters are padded with blanks.
 * Throws UsageError for a name that is not a fourcc.
 */
export function fourcc(name: string): number {
  if (!/^[\x21-\x7e][\x20-\x7e]{0,3}$/.test(name)) {
    const got = JSON.stringify(name);
    throw new UsageError(`--format must be a fourcc, 1 to 4 printable characters, got ${got}`);
  }
  const padded = name.padEnd(4, " ");
  let code = 0;
  for (let i = 3; i >= 0; i--) code = code * 256 + padded.charCodeAt(i);
  return code;
}

/** The name of a format's number; hexadecimal if a character is not printable. */
export function fourccName(code: number): string {
  const bytes = [0, 8, 16, 24].map((shift) => (code >>> shift) & 0xff);
  if (bytes[0] === 0x20 || bytes.some((byte) => byte < 0x20 || byte > 0x7e)) {
    return `0x${code.toString(16).padStart(8, "0")}`;
  }
  return String.fromCharCode(...bytes).trimEnd();
}

const byCode = new Map(formats.map((format) => [fourcc(format.name), format]));

/** The row of a format's number. Undefined for compressed and unknown formats, which are sent unchanged. */
export function pixelFormat(code: number): PixelFormat | undefined {
  return byCode.get(code);
}

/** The row of a format's name. */
export function pixelFormatNamed(name: string): PixelFormat | undefined {
  return byCode.get(fourcc(name));
}

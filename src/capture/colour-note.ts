// What a camera says of its colours, when receiver_sdl would show them wrong: the stream does not carry it.
// <linux/videodev2.h>: V4L2_MAP_YCBCR_ENC_DEFAULT, V4L2_MAP_QUANTIZATION_DEFAULT.
import * as v from "../../ffi/linux/videodev2.ts";
import { pixelFormat } from "../format/formats.ts";
import type { ColourFacts } from "../v4l2/format.ts";

/** Encodings with another matrix than BT.601's: the name, and the option of receiver_sdl that comes nearest. */
const others: Readonly<Record<number, { name: string; nearest: string }>> = {
  [v.V4L2_YCBCR_ENC_709]: { name: "BT.709", nearest: "bt709" },
  [v.V4L2_YCBCR_ENC_XV709]: { name: "xvYCC of BT.709", nearest: "bt709" },
  [v.V4L2_YCBCR_ENC_BT2020]: { name: "BT.2020", nearest: "bt709" },
  [v.V4L2_YCBCR_ENC_BT2020_CONST_LUM]: { name: "BT.2020", nearest: "bt709" },
  [v.V4L2_YCBCR_ENC_SMPTE240M]: { name: "SMPTE 240M", nearest: "bt709" },
};

/** The encodings of colour spaces; those left out have BT.601's. */
const defaults: Readonly<Record<number, number>> = {
  [v.V4L2_COLORSPACE_REC709]: v.V4L2_YCBCR_ENC_709,
  [v.V4L2_COLORSPACE_DCI_P3]: v.V4L2_YCBCR_ENC_709,
  [v.V4L2_COLORSPACE_BT2020]: v.V4L2_YCBCR_ENC_BT2020,
  [v.V4L2_COLORSPACE_SMPTE240M]: v.V4L2_YCBCR_ENC_SMPTE240M,
};

/**
 * One line for a camera whose YCbCr is not BT.601 in limited range, with the option of receiver_sdl that fits. Undefined when
 * the default fits, or when the format has no YCbCr to convert: RGB, and JPEG, whose decoder converts.
 */
export function colourNote(fourcc: number, colours: ColourFacts): string | undefined {
  const model = pixelFormat(fourcc)?.model;
  if (model === undefined || model === "rgb") return undefined;
  const { colorspace, ycbcrEnc, quantization } = colours;
  const encoding = ycbcrEnc === 0 ? (defaults[colorspace] ?? v.V4L2_YCBCR_ENC_601) : ycbcrEnc;
  const full = isFull(colours);
  const other = model === "grey" ? undefined : others[encoding];
  if (other === undefined && !full) return undefined;
  const name = `${other?.name ?? "BT.601"} in ${full ? "full" : "limited"} range`;
  const facts = `colorspace ${colorspace}, ycbcr_enc ${ycbcrEnc}, quantization ${quantization}`;
  const exact = other === undefined || (other.name === "BT.709" && !full);
  const fits = exact ? "fits" : "comes nearest";
  return `colours are ${name} (${facts}): receiver_sdl --colour ${other?.nearest ?? "bt601-full"} ${fits}`;
}

const isFull = ({ colorspace, quantization }: ColourFacts) =>
  quantization === 0
    ? colorspace === v.V4L2_COLORSPACE_JPEG
    : quantization === v.V4L2_QUANTIZATION_FULL_RANGE;

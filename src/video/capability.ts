// The answer to QUERY_CAPABILITY: formats with their frame sizes, packed one after the other.
import type { FormatCapability } from "./codec/codec.ts";
import { formatDesc, formatFrame, listResponse, response, SINGLE_BUFFER } from "./structs.ts";

/** Longest answer, as the config space announces it. */
export const MAX_CAPS_LENGTH = 4096;

/** A mask has a bit for each format. */
const MAX_FORMATS = 64;

/**
 * Encodes the formats of a queue. Sizes that do not fit are left out first, then formats. Each format keeps at least one
 * size, because drivers read the first one without a check.
 */
export function encodeCapability(formats: readonly FormatCapability[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(MAX_CAPS_LENGTH));
  const usable = formats.filter(({ sizes }) => sizes.length > 0).slice(0, MAX_FORMATS);
  const least = formatDesc.size + formatFrame.size;
  const fitting = usable.slice(0, Math.floor((MAX_CAPS_LENGTH - listResponse.size) / least));
  const head = listResponse.over(bytes);
  head.type = response.OK_QUERY_CAPABILITY;
  head.num = fitting.length;
  let at: number = listResponse.size;
  for (const [i, format] of fitting.entries()) {
    const reserved = (fitting.length - i - 1) * least;
    const room = MAX_CAPS_LENGTH - at - reserved - formatDesc.size;
    const sizes = format.sizes.slice(0, Math.floor(room / formatFrame.size));
    const desc = formatDesc.over(bytes, at);
    desc.mask = format.mask;
    desc.format = format.format;
    desc.planes_layout = SINGLE_BUFFER;
    desc.num_frames = sizes.length;
    at += formatDesc.size;
    for (const { width, height } of sizes) {
      const frame = formatFrame.over(bytes, at);
      frame["width.min"] = width.min;
      frame["width.max"] = width.max;
      frame["width.step"] = width.step;
      frame["height.min"] = height.min;
      frame["height.max"] = height.max;
      frame["height.step"] = height.step;
      at += formatFrame.size;
    }
  }
  return bytes.subarray(0, at);
}

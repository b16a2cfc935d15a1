// Offers a guest fewer coded formats than the decoder has.
import { nearest, probablyMeant } from "../../cli/suggest.ts";
import { UnavailableError, UsageError } from "../../errors.ts";
import { videoFormat, videoFormats } from "../formats.ts";
import type { Capabilities, FormatCapability } from "./codec.ts";

/** The names of the coded formats. */
export const codedNames: readonly string[] = videoFormats
  .filter(({ coded }) => coded)
  .map(({ name }) => name);

/** Names of formats elsewhere, without their dots and dashes, and the name here. */
const otherNames: Readonly<Record<string, string>> = {
  H265: "HEVC",
  X265: "HEVC",
  HVC1: "HEVC",
  AVC: "H264",
  AVC1: "H264",
  X264: "H264",
  H262: "MPEG2",
  MPEG2VIDEO: "MPEG2",
};

/** The format that a word was probably meant to name. */
const meantBy = (word: string): string | undefined =>
  otherNames[word.toUpperCase().replace(/[^A-Z0-9]/g, "")] ?? nearest(word, codedNames);

/** The virtio-video numbers of "H264,VP9". Throws UsageError. */
export function parseFormats(text: string): readonly number[] {
  return text.split(",").map((word) => {
    const name = word.trim().toUpperCase();
    const format = videoFormats.find((row) => row.coded && row.name === name);
    if (format !== undefined) return format.number;
    const known = codedNames.join(", ");
    throw new UsageError(
      `--formats must be of ${known}, got "${word}"${probablyMeant(meantBy(word))}`,
    );
  });
}

/** The names of the coded formats in `capabilities`. */
export function formatNames({ input }: Capabilities): readonly string[] {
  return input.map(({ format }) => videoFormat(format)?.name ?? `0x${format.toString(16)}`);
}

/**
 * The capabilities with only the coded formats `formats`, and the pictures that they can become. Throws UnavailableError when the
 * decoder has none of them.
 */
export function offerOnly(capabilities: Capabilities, formats: readonly number[]): Capabilities {
  const { input, output } = capabilities;
  const inputs = indexes(input, ({ format }) => formats.includes(format));
  if (inputs.length === 0)
    throw new UnavailableError(
      `the decoder has none of these formats; name some of ${formatNames(capabilities).join(", ")} with --formats`,
    );
  const outputs = indexes(output, ({ mask }) => inputs.some((i) => has(mask, i)));
  return { input: pick(input, inputs, outputs), output: pick(output, outputs, inputs) };
}

const has = (mask: bigint, bit: number) => ((mask >> BigInt(bit)) & 1n) === 1n;

function indexes(
  rows: readonly FormatCapability[],
  wanted: (row: FormatCapability) => boolean,
): readonly number[] {
  return rows.flatMap((row, i) => (wanted(row) ? [i] : []));
}

/** The rows `kept`, with masks for what is left of the other queue. */
function pick(
  rows: readonly FormatCapability[],
  kept: readonly number[],
  others: readonly number[],
): readonly FormatCapability[] {
  return kept.flatMap((i) => {
    const row = rows[i];
    if (row === undefined) return [];
    const bits = others.map((other, to) => (has(row.mask, other) ? 1n << BigInt(to) : 0n));
    return [{ ...row, mask: bits.reduce((sum, bit) => sum | bit, 0n) }];
  });
}

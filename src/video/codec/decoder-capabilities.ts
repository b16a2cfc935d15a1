// What a guest can use of a V4L2 decoder: its formats in virtio-video's numbers, as QUERY_CAPABILITY lists them.
import { fourccName } from "../../format/formats.ts";
import { type DecoderDevice, listDecoded, notADecoder } from "../../v4l2/decoder-device.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import { listFrameSizes } from "../../v4l2/format-list.ts";
import { type VideoFormat, videoFormatOf } from "../formats.ts";
import type { Capabilities, FormatCapability, FrameSizes } from "./codec.ts";

/** Sizes assumed where a driver lists none. */
const anySize: FrameSizes = {
  width: { min: 16, max: 4096, step: 1 },
  height: { min: 16, max: 4096, step: 1 },
};

/** Throws UnavailableError for a decoder without formats that virtio-video has numbers for. */
export function capabilitiesOf(device: VideoDevice, decoder: DecoderDevice): Capabilities {
  const coded = known(decoder.coded).filter(({ format }) => format.coded);
  if (coded.length === 0) {
    const names = decoder.coded.map(fourccName).join(", ") || "nothing";
    throw notADecoder(device, `${decoder.card} decodes ${names}, no format a guest can be offered`);
  }
  const pairs = coded.map(({ format, fourcc }) => {
    const raw = known(listDecoded(device, decoder, fourcc)).filter(({ format: f }) => !f.coded);
    return { format, fourcc, raw };
  });
  const raws = [...new Map(pairs.flatMap(({ raw }) => raw.map((f) => [f.format, f]))).values()];
  if (raws.length === 0)
    throw notADecoder(device, `${decoder.card} makes no pictures a guest can be offered`);
  const input = pairs.map(
    ({ format, fourcc, raw }): FormatCapability => ({
      format: format.number,
      sizes: frameSizes(device, fourcc) ?? [anySize],
      mask: mask(raws.map((r) => raw.some((f) => f.format === r.format))),
    }),
  );
  const output = raws.map(
    ({ format, fourcc }): FormatCapability => ({
      format: format.number,
      sizes: frameSizes(device, fourcc) ?? input[0]?.sizes ?? [anySize],
      mask: mask(pairs.map(({ raw }) => raw.some((f) => f.format === format))),
    }),
  );
  return { input, output };
}

function mask(bits: readonly boolean[]): bigint {
  return bits.slice(0, 64).reduce((sum, bit, i) => (bit ? sum | (1n << BigInt(i)) : sum), 0n);
}

interface Known {
  readonly format: VideoFormat;
  readonly fourcc: number;
}

/** The formats of a list that virtio-video has numbers for, each once; whole pictures before split ones. */
function known(listed: readonly number[]): readonly Known[] {
  const found = listed.flatMap((fourcc) => {
    const format = videoFormatOf(fourcc);
    return format === undefined ? [] : [{ format, fourcc }];
  });
  return found.filter(
    ({ format, fourcc }, i) =>
      (fourcc === format.fourcc || !found.some((f) => f.fourcc === format.fourcc)) &&
      found.findIndex((f) => f.format === format && f.fourcc === fourcc) === i,
  );
}

/** The sizes of a format, with step 1 whatever the driver's: guests call such a range continuous. */
function frameSizes(device: VideoDevice, fourcc: number): readonly FrameSizes[] | undefined {
  const listed = listFrameSizes(device, fourcc);
  if (listed.length === 0) return undefined;
  return listed.map(({ width, height }) => ({
    width: { ...width, step: 1 },
    height: { ...height, step: 1 },
  }));
}

// What a node can do, from its capabilities and its formats: camera, output, decoder, encoder.
import * as v from "../../ffi/linux/videodev2.ts";
import { fourcc } from "../format/formats.ts";
import type { VideoDevice } from "./device.ts";
import { bufferType, type Direction } from "./format.ts";
import { type FormatEntry, listFormatEntries } from "./format-list.ts";

export const allKinds = [
  "camera",
  "output",
  "decoder",
  "stateless decoder",
  "encoder",
  "converter",
  "metadata",
  "other",
] as const;
export type Kind = (typeof allKinds)[number];

/** A queue of a node with the formats that it takes or gives. */
export interface NodeQueue {
  readonly direction: Direction;
  readonly multiplanar: boolean;
  readonly formats: readonly FormatEntry[];
}

export interface NodeAbilities {
  readonly kinds: readonly Kind[];
  readonly queues: readonly NodeQueue[];
}

const SINGLE_M2M = v.V4L2_CAP_VIDEO_M2M;
const MULTI_M2M = v.V4L2_CAP_VIDEO_M2M_MPLANE;
const M2M = SINGLE_M2M | MULTI_M2M;
const CAPTURE = v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_VIDEO_CAPTURE_MPLANE;
const OUTPUT = v.V4L2_CAP_VIDEO_OUTPUT | v.V4L2_CAP_VIDEO_OUTPUT_MPLANE;
const METADATA = v.V4L2_CAP_META_CAPTURE | v.V4L2_CAP_META_OUTPUT;

/** Coded formats that need the request API: ext-ctrls-codec-stateless.rst. */
const stateless = new Set(
  ["S264", "S265", "MG2S", "SFWH", "VP8F", "VP9F", "AV1F"].map((name) => fourcc(name)),
);

/** The queues that each capability flag stands for. */
const queuesOf: readonly (readonly [number, Direction, boolean])[] = [
  [v.V4L2_CAP_VIDEO_CAPTURE | SINGLE_M2M, "capture", false],
  [v.V4L2_CAP_VIDEO_CAPTURE_MPLANE | MULTI_M2M, "capture", true],
  [v.V4L2_CAP_VIDEO_OUTPUT | SINGLE_M2M, "output", false],
  [v.V4L2_CAP_VIDEO_OUTPUT_MPLANE | MULTI_M2M, "output", true],
];

/** What a node with the V4L2_CAP_ `flags` can do. */
export function abilitiesOf(device: VideoDevice, flags: number): NodeAbilities {
  const queues = queuesOf
    .filter(([cap]) => (flags & cap) !== 0)
    .map(([, direction, multiplanar]) => ({
      direction,
      multiplanar,
      formats: listFormatEntries(device, bufferType(direction, multiplanar)),
    }));
  return { kinds: kindsOf(flags, queues), queues };
}

function kindsOf(flags: number, queues: readonly NodeQueue[]): readonly Kind[] {
  if ((flags & M2M) !== 0) return [codecKind(queues)];
  const kinds: Kind[] = [];
  if ((flags & CAPTURE) !== 0) kinds.push("camera");
  if ((flags & OUTPUT) !== 0) kinds.push("output");
  if (kinds.length > 0) return kinds;
  return [(flags & METADATA) !== 0 ? "metadata" : "other"];
}

/** The kind of a memory-to-memory node: bitstream goes into a decoder and comes out of an encoder. */
function codecKind(queues: readonly NodeQueue[]): Kind {
  const coded = (direction: Direction) =>
    queues
      .filter((queue) => queue.direction === direction)
      .flatMap(({ formats }) => formats.filter(({ compressed }) => compressed));
  const taken = coded("output");
  if (taken.length > 0)
    return taken.every((format) => stateless.has(format.fourcc)) ? "stateless decoder" : "decoder";
  return coded("capture").length > 0 ? "encoder" : "converter";
}

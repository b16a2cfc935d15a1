// All fuzz targets.
import { damagedBitstream } from "./libavcodec.ts";
import { videoLimits } from "./limits.ts";
import { mediaSequences } from "./media.ts";
import { rings } from "./rings.ts";
import { socket } from "./socket.ts";
import type { Target } from "./target.ts";
import { decoderSequences, videoBodies, videoSequences } from "./video.ts";

/** The slowest first. */
export const targets: readonly Target[] = [
  damagedBitstream,
  decoderSequences,
  videoSequences,
  mediaSequences,
  rings,
  socket,
  videoBodies,
  videoLimits,
];

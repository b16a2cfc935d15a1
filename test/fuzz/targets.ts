// All fuzz targets.
import { rings } from "./rings.ts";
import { socket } from "./socket.ts";
import type { Target } from "./target.ts";
import { videoBodies, videoSequences } from "./video.ts";

/** The slowest first. */
export const targets: readonly Target[] = [videoSequences, rings, socket, videoBodies];

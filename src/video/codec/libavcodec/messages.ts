// What the daemon and the process of a decoder tell each other: records of one size, several in a packet. The bytes of bitstream
// and pictures are in slots of shared memory, and records name the slots. Both ends are the same program on one machine.
import { n64, struct, u32, writableText } from "../../../../ffi/struct.ts";

/** Which end sends it, and what it says. The number of a row is the `type` of its records. */
interface MessageRow {
  readonly type: number;
  readonly from: "daemon" | "decoder";
  readonly means: string;
}

export const messages = {
  open: {
    type: 1,
    from: "daemon",
    means: "open a decoder for the coded `format`; one that is open is closed",
  },
  input: {
    type: 2,
    from: "daemon",
    means: "`length` bytes of bitstream are in `slot`; `key` is theirs",
  },
  grant: {
    type: 3,
    from: "daemon",
    means: "a picture in `format` may be written to `slot`; void unless `epoch` is current",
  },
  drain: { type: 4, from: "daemon", means: "decode to the end of what was sent" },
  flush: { type: 5, from: "daemon", means: "drop what was sent; a new `generation` begins" },
  ready: { type: 16, from: "decoder", means: "the decoder is open" },
  inputDone: { type: 17, from: "decoder", means: "`slot` was read" },
  changed: {
    type: 18,
    from: "decoder",
    means: "the next picture is `width` x `height`; every grant is void",
  },
  picture: {
    type: 19,
    from: "decoder",
    means:
      "the picture of `key` is in `slot`; or in `frame`, which stays as it is until the slot is granted again",
  },
  drained: {
    type: 20,
    from: "decoder",
    means: "the last picture of the drain was sent, or a flush has dropped the drain",
  },
  failed: {
    type: 21,
    from: "decoder",
    means: "the decoder cannot continue; `failure` has the reason",
  },
} as const satisfies Record<string, MessageRow>;

export type MessageName = keyof typeof messages;

/** Bytes of every record. */
export const RECORD_BYTES = 64;
/** The most records in a packet. */
export const MAX_RECORDS = 32;

export const record = struct("struct decoder_message", RECORD_BYTES, {
  type: u32(0),
  /** Flushes that the sender knows of: what belongs to an earlier generation is dropped. */
  generation: u32(4),
  slot: u32(8),
  length: u32(12),
  width: u32(16),
  height: u32(20),
  format: u32(24),
  /** Messages `changed` that the sender of a grant has received. */
  epoch: u32(28),
  key: n64(32),
  threads: u32(40),
  /** 0: the picture is in its slot. Otherwise the number of a frame, plus 1, and where the planes of the picture begin in it. */
  frame: u32(44),
  "plane[0]": u32(48),
  "plane[1]": u32(52),
  "plane[2]": u32(56),
  max_pixels: n64(48),
});

/** A record of type `failed`. */
export const failure = struct("struct decoder_failure", RECORD_BYTES, {
  type: u32(0),
  generation: u32(4),
  reason: writableText(8, RECORD_BYTES - 8),
});

/** Descriptors of the decoder's process: the socket, and the two pieces of shared memory. */
export const inherited = { socket: 3, bitstream: 4, pictures: 5 } as const;
/** In the environment of a decoder's process: the process id of its daemon. */
export const DAEMON = "FRAMEPASS_DECODER_DAEMON";

/** Slots of bitstream, and slots for pictures: one is written, one is read, the others absorb delays. */
export const BITSTREAM_SLOTS = 8;
export const PICTURE_SLOTS = 6;
/** Frames that a decoder puts its pictures in: those that it refers to, and those that the daemon has not copied yet. */
export const FRAMES = 15;
/** After the slots of bitstream: the page whose first word counts the calls of the decoder, for the daemon's watchdog. */
export const PROGRESS_BYTES = 65_536;

/** Bytes of a frame: pictures in 4:2:0, with what a decoder needs around them. All frames fit into one mapping (mapping.ts). */
export const frameBytes = (maxPixels: number) => whole(maxPixels * 2);
/** Bytes of a slot for pictures of at most `maxPixels`, also for those a pixel wide, whose chroma has as many samples. */
export const pictureSlotBytes = (maxPixels: number) => 2 * frameBytes(maxPixels);
/** Bytes of all slots for pictures and all frames, which follow them: so many times `frameBytes`. */
export const FRAMES_IN_ALL = 2 * PICTURE_SLOTS + FRAMES;
/** Bytes of a slot for bitstream: no coded picture is as large as the picture itself. */
export const bitstreamSlotBytes = (maxPixels: number) =>
  whole(Math.max(LEAST_BITSTREAM, maxPixels * 1.5));

const LEAST_BITSTREAM = 1 << 20;
/** A multiple of every page size. */
const SLOT_UNIT = 65_536;
const whole = (bytes: number) => Math.ceil(bytes / SLOT_UNIT) * SLOT_UNIT;

// Messages of the zero-copy flow, big endian: docs/protocol.md. A handle describes a buffer once. After that a frame is
// 48 bytes, and 24 bytes return its buffer.
import { n64, type Struct, struct, u32, u64, words } from "../../../ffi/struct.ts";
import { ProtocolError } from "../../errors.ts";
import { type Handle, MAX_REFERENCES } from "../../frame/sharing.ts";
import { FRAME_MAGIC, HANDLE_MAGIC, hex } from "../hello.ts";

/** Sent once per buffer, right after the hello. */
export const handleMessage = struct(
  "handle",
  16_040,
  {
    magic: u32(0),
    flags: u32(4),
    handle_id: u64(8),
    len: u64(16),
    gref_count: u32(24),
    gref_page_size: u32(28),
    gref_domid: u32(32),
    reserved: u32(36),
    gref_ids: words(40, MAX_REFERENCES),
    region_offset: u64(40), // of kind "region", in place of references
    region_generation: u64(48),
  },
  "big",
);
export type HandleMessage = Struct<typeof handleMessage.fields>;

/** A 64-bit number as two words, to compare and to echo it without a bigint. */
const wide = (offset: number) => [u32(offset), u32(offset + 4)] as const;
const [idHigh, idLow] = wide(16);
const [sequenceHigh, sequenceLow] = wide(24);

/** Sent once per frame, sender to receiver; no payload follows. */
export const zcFrame = struct(
  "zc frame",
  48,
  {
    magic: u32(0),
    buffer_index: u32(4),
    bytesused: u32(8),
    flags: u32(12),
    handle_high: idHigh,
    handle_low: idLow,
    sequence: n64(24),
    sequence_high: sequenceHigh,
    sequence_low: sequenceLow,
    ts_sec: n64(32),
    ts_usec: n64(40),
  },
  "big",
);
export type ZcFrame = Struct<typeof zcFrame.fields>;

const [ackHigh, ackLow] = wide(8);
const [ackSequenceHigh, ackSequenceLow] = wide(16);

/** Sent once per frame, receiver to sender: the buffer may be written again. */
export const zcAck = struct(
  "zc ack",
  24,
  {
    magic: u32(0),
    status: u32(4),
    handle_high: ackHigh,
    handle_low: ackLow,
    sequence: n64(16),
    sequence_high: ackSequenceHigh,
    sequence_low: ackSequenceLow,
  },
  "big",
);
export type ZcAck = Struct<typeof zcAck.fields>;

/** The flag bit of each kind of handle. The C programs know the first only. */
export const handleKinds = [
  { kind: "grants", flag: 0x0000_0001, share: "xen-grant or virtio-media" },
  { kind: "descriptor", flag: 0x0001_0000, share: "fd" },
  { kind: "region", flag: 0x0002_0000, share: "dax" },
] as const satisfies readonly { kind: Handle["kind"]; flag: number; share: string }[];

/** The value of --share for a kind of handle. */
export const shareOf = (kind: Handle["kind"]): string =>
  handleKinds.find((row) => row.kind === kind)?.share ?? kind;

/** A handle of the older revision of the virtio-media driver: room for 512 references. */
export const OLD_HANDLE_BYTES = 2088;
const OLD_REFERENCES = 512;

/** The bytes of a handle's message: with grants as many as its driver's revision has. */
export function handleBytes(handle: Handle): Uint8Array<ArrayBuffer> {
  const { $bytes } = makeHandle(handle);
  const old = handle.kind === "grants" && handle.room === OLD_REFERENCES;
  return old ? $bytes.subarray(0, OLD_HANDLE_BYTES) : $bytes;
}

/**
 * Whether the first OLD_HANDLE_BYTES of a handle can be a whole one. If so, the next word decides: a message of the older
 * revision is followed by another message, in one of the newer revision the references go on.
 */
export function mayBeOld({ flags, gref_count }: HandleMessage): boolean {
  return (flags & 0xffff_ffff) === handleKinds[0].flag && gref_count <= OLD_REFERENCES;
}

/** Makes the message for a handle. */
export function makeHandle(handle: Handle): HandleMessage {
  const message = handleMessage.alloc();
  message.magic = HANDLE_MAGIC;
  message.flags = handleKinds.find(({ kind }) => kind === handle.kind)?.flag ?? 0;
  message.handle_id = handle.id;
  message.len = BigInt(handle.length);
  if (handle.kind === "grants") {
    message.gref_count = handle.references.length;
    message.gref_page_size = handle.pageBytes;
    message.gref_domid = handle.domain;
    for (const [i, reference] of handle.references.entries()) message.gref_ids.set(i, reference);
  } else if (handle.kind === "region") {
    message.region_offset = BigInt(handle.offset);
    message.region_generation = handle.generation;
  }
  return message;
}

function refuse(what: string): never {
  throw new ProtocolError(`handle: ${what}`);
}

/** A 64-bit length or offset as a number. Throws ProtocolError outside `least` to 4294967295. */
function small(field: string, value: bigint, least: number): number {
  if (value >= BigInt(least) && value <= 0xffff_ffffn) return Number(value);
  return refuse(`${field} is ${value}, must be ${least} to 4294967295`);
}

/** Reads a handle message. Throws ProtocolError that names the field, the value and the limit. */
export function checkHandle(message: HandleMessage): Handle {
  const { magic, flags, handle_id: id } = message;
  if (magic !== HANDLE_MAGIC) refuse(`magic is ${hex(magic)}, must be ${hex(HANDLE_MAGIC)}`);
  const row = handleKinds.find(({ flag }) => (flags & flag) !== 0);
  if (row === undefined) {
    const known = handleKinds.map(({ flag, share }) => `${hex(flag)} (${share})`).join(", ");
    return refuse(`flags are ${hex(flags)}, must contain one of ${known}`);
  }
  if (message.reserved !== 0) refuse(`reserved is ${message.reserved}, must be 0`);
  const length = small("len", message.len, 1);
  if (row.kind === "descriptor") return { kind: row.kind, id, length };
  if (row.kind === "region") {
    const offset = small("region_offset", message.region_offset, 0);
    return { kind: row.kind, id, length, offset, generation: message.region_generation };
  }
  const { gref_count: count, gref_page_size: pageBytes, gref_domid: domain } = message;
  if (count < 1 || count > MAX_REFERENCES) {
    refuse(`gref_count is ${count}, must be 1 to ${MAX_REFERENCES}`);
  }
  if (pageBytes === 0) refuse("gref_page_size is 0, must be at least 1");
  if (count * pageBytes < length) {
    refuse(`len is ${length}, ${count} pages of ${pageBytes} hold ${count * pageBytes}`);
  }
  const references = Uint32Array.from({ length: count }, (_, i) => message.gref_ids.get(i));
  return { kind: row.kind, id, length, pageBytes, domain, references };
}

/** Checks an acknowledgement. Throws ProtocolError. */
export function checkAck(ack: ZcAck): void {
  if (ack.magic === FRAME_MAGIC) return;
  throw new ProtocolError(`ack: magic is ${hex(ack.magic)}, must be ${hex(FRAME_MAGIC)}`);
}

/** A handle's number as two words, for messages. */
export const wordsOf = (id: bigint) => ({
  high: Number((id >> 32n) & 0xffff_ffffn),
  low: Number(id & 0xffff_ffffn),
});

/** A handle's number from its two words, for error texts. */
export const idOf = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);

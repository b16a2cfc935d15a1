// The tables of what travels: offset, size and name come from the code's structs, the meaning of each field stands here. A
// field without a meaning does not compile.
import type { Fields, StructType } from "../ffi/struct.ts";
import { STAMP_MAGIC, stamp } from "../src/format/stamp.ts";
import { MAX_REFERENCES } from "../src/frame/sharing.ts";
import { regionHeader } from "../src/share/region.ts";
import { frameHeader } from "../src/stream/copy/messages.ts";
import {
  FRAME_MAGIC,
  HANDLE_MAGIC,
  HELLO_MAGIC,
  hello,
  MAX_BUFFERS,
  MAX_SIDE,
  VERSION,
} from "../src/stream/hello.ts";
import { handleMessage, zcAck, zcFrame } from "../src/stream/zero-copy/messages.ts";
import type { Parts } from "./docs.ts";
import { hexadecimal, table } from "./docs-table.ts";

/** What a field means and what is accepted. "" leaves it out, because `wide` of another field covers it. */
type Meaning = string | { readonly name: string; readonly size: number; readonly means: string };

/** A table of all fields of `type`; `meanings` has a row for each. */
function fieldTable<F extends Fields>(
  type: StructType<F>,
  meanings: Readonly<Record<keyof F, Meaning>>,
): string {
  const rows = Object.entries(type.fields).flatMap(([name, { offset, size }]) => {
    const meaning: Meaning = meanings[name] ?? "";
    if (meaning === "") return [];
    const row = typeof meaning === "string" ? { name, size, means: meaning } : meaning;
    return [[`${offset}`, `${row.size}`, row.name, row.means]];
  });
  rows.sort(([a], [b]) => Number(a) - Number(b));
  return `${type.size} bytes.\n\n${table(["offset", "bytes", "field", "meaning, and what is accepted"], rows)}`;
}

const exactly = (magic: number) => `${hexadecimal(magic)}, exactly`;
const sequence = "gaps are frames that were lost before they were sent; any";
const seconds = "capture time on CLOCK_MONOTONIC of the sender, seconds; any";
const microseconds = "the microseconds of it; any";
const flags = "`v4l2_buffer.flags`; any";

export const structParts: Parts = {
  "message hello": () =>
    fieldTable(hello, {
      magic: exactly(HELLO_MAGIC),
      version: `${VERSION}`,
      width: `pixels, 1 to ${MAX_SIDE}`,
      height: `pixels, 1 to ${MAX_SIDE}`,
      pixelformat: "the V4L2 fourcc as a number; any. A known raw format sets the least sizeimage",
      sizeimage: "no frame has more bytes; from what the format needs to `--max-frame`",
      buffer_count: `1 to ${MAX_BUFFERS}`,
    }),
  "message frame": () =>
    fieldTable(frameHeader, {
      magic: exactly(FRAME_MAGIC),
      index:
        "number of the sender's buffer; the receiver uses its buffer index mod buffer_count; any",
      bytesused:
        "bytes of picture that follow, 0 to sizeimage; less is legal (compressed formats) and counted",
      flags,
      sequence,
      ts_sec: seconds,
      ts_usec: microseconds,
    }),
  "message handle": () =>
    fieldTable(handleMessage, {
      magic: exactly(HANDLE_MAGIC),
      flags: "the kind of the handle, below; one that the receiver was started for",
      handle_id: "any, once in a stream",
      len: "bytes of the buffer, 1 to 4294967295",
      gref_count: `1 to ${MAX_REFERENCES}, and enough pages for len (grants)`,
      gref_page_size: "the page size of the receiver's kernel (grants)",
      gref_domid: "the domain that granted the pages, 0 to 32751 (grants)",
      reserved: "0",
      gref_ids: "4 bytes each; 0 from gref_count on; any (grants)",
      region_offset: "from 4096, the buffer inside the region (region)",
      region_generation: "what the region's header says (region)",
    }),
  "message zc frame": () =>
    fieldTable(zcFrame, {
      magic: exactly(FRAME_MAGIC),
      buffer_index: "any; the handle counts",
      bytesused: "0 to the smaller of sizeimage and len",
      flags,
      handle_high: { name: "handle_id", size: 8, means: "one of the stream's" },
      handle_low: "",
      sequence,
      sequence_high: "",
      sequence_low: "",
      ts_sec: seconds,
      ts_usec: microseconds,
    }),
  "message zc ack": () =>
    fieldTable(zcAck, {
      magic: exactly(FRAME_MAGIC),
      status: "0: done; any other value is counted as refused",
      handle_high: {
        name: "handle_id",
        size: 8,
        means: "of a frame that is lent, or was taken back after a time-out",
      },
      handle_low: "",
      sequence: "the sequence of that frame",
      sequence_high: "",
      sequence_low: "",
    }),
  "region header": () =>
    fieldTable(regionHeader, {
      magic: '0x47525046, "FPRG"',
      version: "1",
      generation: "random, new for each use of the region",
      width: "as in the hello",
      height: "as in the hello",
      pixelformat: "as in the hello",
      sizeimage: "as in the hello",
      buffer_count: "as in the hello",
      reserved: "0",
      used: "bytes that belong to the stream, this header included",
      checksum: "CRC-32 of the 48 bytes before",
      reserved2: "0",
    }),
  stamp: () =>
    fieldTable(stamp, {
      magic: `${hexadecimal(STAMP_MAGIC)}, "FPS1"`,
      reserved: "0",
      sequence: "number of the picture from 0; the same as in the frame header",
      picture_crc: "CRC-32 (zlib, PNG, Ethernet) of all bytes of the picture after the stamp",
      reserved2: "0",
      stamp_crc: "CRC-32 of the 28 bytes before",
    }),
};

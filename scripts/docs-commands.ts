// The table of virtio-video commands: numbers, names and sizes from the rows of src/video/commands.ts, the words from here. A
// command without words, and words without a command, end the generator.
import { commands } from "../src/video/commands.ts";
import { hexadecimal, table } from "./docs-table.ts";

interface Words {
  readonly does: string;
  readonly refused: string;
  /** Files of test/video. */
  readonly tests: string;
}

const words: Readonly<Record<string, Words>> = {
  QUERY_CAPABILITY: {
    does: "Returns the formats and sizes of a queue.",
    refused: "queue type 0x304",
    tests: "commands",
  },
  STREAM_CREATE: {
    does: "Opens a decoder for this stream alone.",
    refused:
      "id in use 0x302; format or memory type 0x304; more than `--max-streams`, or limits of the host 0x301",
    tests: "commands, codec/v4l2-decoder",
  },
  STREAM_DESTROY: {
    does: "Answers all held requests, then itself. Events of the stream are dropped.",
    refused: "0x302",
    tests: "stream",
  },
  STREAM_DRAIN: {
    does: "Held until all pictures are out, and one more, empty buffer with EOS. Without any picture buffer it is answered at once.",
    refused: "already draining, or failed stream 0x300; cancelled by QUEUE_CLEAR or DESTROY 0x300",
    tests: "stream, codec/v4l2-decoder",
  },
  RESOURCE_CREATE: {
    does: "Creates a buffer: looks up 1 to 65,530 ranges of guest memory (what a request of 1 MiB holds). One buffer (layout 0 or 1) or one per plane (2). A known id is replaced.",
    refused:
      "counts, layout, memory outside the guest's 0x304; queued 0x303; more than 64 in a queue, more than 1,048,576 ranges of all streams 0x301",
    tests: "commands, ranges",
  },
  RESOURCE_QUEUE: {
    does: "Held until the bitstream was read or the picture is there, in any order. Time stamps have 64 bits and come out as they went in.",
    refused:
      "unknown 0x303; already queued, or INPUT while draining 0x300; sizes 0x304; always with the ERR flag",
    tests: "commands, stream, codec/v4l2-decoder",
  },
  RESOURCE_DESTROY_ALL: {
    does: "Returns all queued buffers with ERR, forgets the resources, frees the decoder's buffers.",
    refused: "0x302, 0x304",
    tests: "stream",
  },
  QUEUE_CLEAR: {
    does: "A seek: returns all queued buffers with ERR, then answers. On INPUT it also cancels a drain and drops pictures that were not delivered.",
    refused: "0x302, 0x304",
    tests: "stream, codec/v4l2-decoder",
  },
  GET_PARAMS: {
    does: "112 bytes of parameters. Always one plane that holds the whole picture; one buffer more than the decoder needs, for EOS.",
    refused: "0x302, 0x304",
    tests: "commands",
  },
  SET_PARAMS: {
    does: "Takes what it can: sizes are clamped, format 0 keeps the format, the same parameters again are no change while buffers exist.",
    refused: "format, queue or memory type unknown, more than 8 planes 0x304",
    tests: "commands",
  },
  QUERY_CONTROL: {
    does: "Returns the values that a profile or level of a format can have on this host.",
    refused: "0x305; unknown format 0x304",
    tests: "codec/controls",
  },
  GET_CONTROL: {
    does: "Bitrate, profile and level, where the decoder has them.",
    refused: "0x305",
    tests: "codec/controls",
  },
  SET_CONTROL: {
    does: "Bitrate, profile and level, where the decoder has them.",
    refused: "0x305",
    tests: "codec/controls",
  },
  GET_PARAMS_EXT: {
    does: "GET_PARAMS with the memory type: 120 bytes.",
    refused: "0x302, 0x304",
    tests: "commands",
  },
  SET_PARAMS_EXT: {
    does: "SET_PARAMS with the memory type.",
    refused: "as SET_PARAMS",
    tests: "commands",
  },
};

export function commandTable(): string {
  const rows = [...commands.values()].toSorted((a, b) => a.type - b.type);
  for (const name of Object.keys(words)) {
    if (!rows.some((row) => row.name === name)) throw new Error(`there is no command ${name}`);
  }
  return table(
    ["number", "command", "request, bytes", "what it does", "refused with", "tests"],
    rows.map(({ type, name, request }) => {
      const about = words[name];
      if (about === undefined) throw new Error(`scripts/docs-commands.ts has no words for ${name}`);
      return [
        hexadecimal(type, 3),
        name,
        `${request.size}`,
        about.does,
        about.refused,
        about.tests,
      ];
    }),
  );
}

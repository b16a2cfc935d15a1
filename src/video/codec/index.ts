// The codec back-ends, one row each.
import type { CodecBackend } from "./codec.ts";
import { type LibavcodecOptions, openLibavcodec } from "./libavcodec/backend.ts";
import { openNull } from "./null.ts";
import { openV4l2Decoder } from "./v4l2-decoder.ts";

/** What the back-ends need; each uses its part. */
export interface CodecOptions extends LibavcodecOptions {
  /** A V4L2 decoder: node, by-id name or card. */
  readonly device: string;
}

export interface CodecRow {
  readonly name: string;
  readonly title: string;
  /** Opens and checks the codec. Throws UnavailableError. */
  open(options: CodecOptions): CodecBackend;
}

export const codecs = [
  { name: "null", title: "grey pictures, no device needed", open: () => openNull() },
  {
    name: "v4l2-decoder",
    title: "a V4L2 stateful decoder of this host",
    open: ({ device }: CodecOptions) => openV4l2Decoder(device),
  },
  {
    name: "libavcodec",
    title: "FFmpeg's decoders, on the processor",
    open: (options: CodecOptions) => openLibavcodec(options),
  },
] as const satisfies readonly CodecRow[];

export type CodecName = (typeof codecs)[number]["name"];

/** The names, as the command line takes them. */
export const codecNames: readonly CodecName[] = codecs.map(({ name }) => name);

/** Opens a back-end by its name. Throws UnavailableError. */
export function openCodec(backend: CodecName, options: CodecOptions): CodecBackend {
  const row = codecs.find(({ name }) => name === backend);
  if (row === undefined) throw new RangeError(`no codec ${backend}`);
  return row.open(options);
}

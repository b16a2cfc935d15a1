// The codec back-ends, one row each.
import type { CodecBackend } from "./codec.ts";
import { openNull } from "./null.ts";
import { openV4l2Decoder } from "./v4l2-decoder.ts";

export interface CodecRow {
  readonly name: string;
  readonly title: string;
  /** Opens and checks the codec; `device` is a V4L2 node. Throws UnavailableError. */
  open(device: string): CodecBackend;
}

export const codecs = [
  { name: "null", title: "grey pictures, no device needed", open: (_device: string) => openNull() },
  {
    name: "v4l2-decoder",
    title: "a V4L2 stateful decoder of this host",
    open: (device: string) => openV4l2Decoder(device),
  },
] as const satisfies readonly CodecRow[];

/** The names, as the command line takes them. */
export const codecNames: readonly string[] = codecs.map(({ name }) => name);

/** Opens a back-end by its name. Throws UnavailableError. */
export function openCodec({
  backend,
  device,
}: {
  readonly backend: string;
  readonly device: string;
}): CodecBackend {
  const row = codecs.find(({ name }) => name === backend);
  if (row === undefined) throw new RangeError(`no codec ${backend}`);
  return row.open(device);
}

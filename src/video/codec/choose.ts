// Which back-end is used when none was named: a V4L2 decoder if there is one, because it costs no processor time.
import { UnavailableError } from "../../errors.ts";
import { type NodeHost, nodesOf, thisHost } from "../../v4l2/find-node.ts";
import type { CodecBackend } from "./codec.ts";
import type { CodecName } from "./index.ts";

export interface Choice {
  readonly backend: CodecName;
  /** The decoder's node, for v4l2-decoder. */
  readonly device: string;
  /** The reason, for the log; undefined when the user has named the back-end. */
  readonly because: string | undefined;
}

/** Chooses the back-end; `device` is the decoder that the user named. */
export function chooseCodec(device: string | undefined, host: NodeHost = thisHost): Choice {
  if (device !== undefined)
    return { backend: "v4l2-decoder", device, because: "--v4l2-device names a decoder" };
  const [found] = nodesOf(["decoder"], host);
  return found === undefined
    ? { backend: "libavcodec", device: "", because: "no V4L2 decoder was found on this host" }
    : { backend: "v4l2-decoder", device: found, because: `${found} is a V4L2 decoder` };
}

/** Opens the back-end. Throws UnavailableError: where auto finds no decoder at all, it names both ways to get one. */
export function openChosen({ backend, because }: Choice, open: () => CodecBackend): CodecBackend {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof UnavailableError) || because === undefined || backend !== "libavcodec")
      throw error;
    const text = `${because}; ${error.message}, or name a decoder with --v4l2-device`;
    throw new UnavailableError(text, { cause: error });
  }
}

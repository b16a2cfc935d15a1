// The codec that decodes with a V4L2 stateful decoder; each stream is an open file of its own.

import { log } from "../../cli/log.ts";
import type { VideoDevice } from "../../v4l2/device.ts";
import type { CodecBackend } from "./codec.ts";
import { examine, openCheckedNode, openDecoderNode } from "./decoder-device.ts";
import { DecoderSession } from "./decoder-session.ts";
import { controlMenu } from "./m2m-controls.ts";

/** Opens and checks the decoder at `path`. Throws UnavailableError. */
export function openV4l2Decoder(path: string): CodecBackend {
  return decoderOn(openCheckedNode(path), () => openDecoderNode(path));
}

/**
 * A decoder on an open node, which it then owns, to ask it things; `open` makes one more for each stream. Throws
 * UnavailableError.
 */
export function decoderOn(node: VideoDevice, open: () => VideoDevice): CodecBackend {
  using owned = new DisposableStack();
  owned.use(node);
  const decoder = examine(node);
  const names = decoder.capabilities.input.map(({ format }) => format.toString(16));
  log.withTag("video").debug(`${node.path}: ${decoder.card}, coded formats ${names.join(", ")}`);
  const release = owned.move();
  return {
    name: "v4l2-decoder",
    deviceName: decoder.card,
    capabilities: decoder.capabilities,
    controlValues: (number, format) => controlMenu(node, number, format),
    open(loop, format, client) {
      using opened = new DisposableStack();
      const device = opened.use(open());
      const session = new DecoderSession({ loop, device, decoder, format, client });
      opened.move();
      return session;
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}

// The codec that decodes with a V4L2 stateful decoder. Each stream opens the node once more: a context of its own.
import { log } from "../../cli/log.ts";
import { examineDecoder } from "../../v4l2/decoder-device.ts";
import {
  type AwaitedDevice,
  openNode,
  openVideoDevice,
  type VideoDevice,
} from "../../v4l2/device.ts";
import { findNode } from "../../v4l2/find-node.ts";
import type { CodecBackend } from "./codec.ts";
import { WAYS } from "./decoder-buffers.ts";
import { capabilitiesOf } from "./decoder-capabilities.ts";
import { controlMenu } from "./decoder-controls.ts";
import { DecoderSession } from "./decoder-session.ts";

/**
 * Opens and checks the decoder that `device` names: a node, a by-id name or a card. `ways` are those in which it may take
 * guest memory. Throws UnavailableError.
 */
export function openV4l2Decoder(device: string, ways = WAYS): CodecBackend {
  const path = findNode(device, ["decoder"]);
  return decoderOn(openVideoDevice(path, "decoder"), () => openNode(path), ways);
}

/**
 * The codec of an open node, which it takes over for queries; `open` opens the node again for each stream. Throws
 * UnavailableError.
 */
export function decoderOn(node: VideoDevice, open: () => AwaitedDevice, ways = WAYS): CodecBackend {
  using owned = new DisposableStack();
  owned.use(node);
  const decoder = examineDecoder(node);
  const capabilities = capabilitiesOf(node, decoder);
  const names = capabilities.input.map(({ format }) => format.toString(16));
  log.withTag("video").debug(`${node.path}: ${decoder.card}, coded formats ${names.join(", ")}`);
  /** What is asked of the decoder until the driver chooses. */
  const rawFormat = capabilities.output[0]?.format ?? 0;
  const said = new Set<string>();
  const release = owned.move();
  return {
    name: "v4l2-decoder",
    deviceName: decoder.card,
    capabilities,
    controlValues: (number, format) => controlMenu(node, number, format),
    open(loop, format, client) {
      using opened = new DisposableStack();
      const device = opened.use(open());
      const of = { loop, device, decoder, rawFormat, format, client, ways, said };
      const session = new DecoderSession(of);
      opened.move();
      return session;
    },
    [Symbol.dispose]: () => release.dispose(),
  };
}

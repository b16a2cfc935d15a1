// `--list-formats` of the senders: the formats of one source, as `framepass devices` shows them.
import { formats } from "../format/formats.ts";
import { openVideoDevice } from "../v4l2/device.ts";
import { findNode } from "../v4l2/find-node.ts";
import { examineDevice } from "./examine.ts";
import { formatLines } from "./table.ts";

/** The formats of a camera, as lines. Throws UnavailableError. */
export function cameraFormats(name: string): string {
  using device = openVideoDevice(findNode(name, ["camera"]));
  const { node, card, formats: offered, cut } = examineDevice(device, { controls: false });
  return [`${node}  ${card}`, ...formatLines({ formats: offered, cut })].join("\n");
}

/** The formats of the built-in source, which makes them in every size and rate. */
export function builtInFormats(): string {
  const names = formats.filter(({ sentAs }) => sentAs === undefined).map(({ name }) => name);
  return `testsrc, in any size and at any rate\n  gives      ${names.join(" ")}`;
}

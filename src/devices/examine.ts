// Asks one node everything that `framepass devices` shows. A failure is a line of the report, not an error.
import { statSync } from "node:fs";
import { SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { fourccName } from "../format/formats.ts";
import { type Control, listControls } from "../v4l2/control-list.ts";
import { openNode, printable, queryCapability, type VideoDevice } from "../v4l2/device.ts";
import type { SizeRange } from "../v4l2/format-list.ts";
import { abilitiesOf } from "../v4l2/kinds.ts";
import { type FormatOffer, listOffers, type SizeOffer } from "../v4l2/offers.ts";
import {
  type ControlReport,
  type DeviceReport,
  type FormatReport,
  type JsonInteger,
  type Pixels,
  type SizeReport,
  unknownDevice,
} from "./report.ts";
import { toolLine } from "./tool-line.ts";

/** Options of `examineNode`. */
export interface ExamineOptions {
  readonly controls: boolean;
}

/** Opens a node without waiting, asks it, and closes it. */
export function examineNode(node: string, options: ExamineOptions): DeviceReport {
  try {
    if (!statSync(node).isCharacterDevice())
      return unknownDevice(node, "", "not a character device");
    using device = openNode(node);
    return examineDevice(device, options);
  } catch (error) {
    return unknownDevice(node, "", problemOf(error));
  }
}

const advice: Readonly<Record<string, string>> = {
  EBUSY: "busy: another program has it open, and this driver lets no other one ask",
  EACCES: "no permission: add yourself to the group video, or run as root",
  EPERM: "no permission: add yourself to the group video, or run as root",
  ENOTTY: "not a V4L2 device",
  ENOENT: "no such device",
  ENXIO: "no driver serves this node",
  ENODEV: "no driver serves this node: the device was removed",
};

/** Why a node could not be asked, in a few words. */
function problemOf(error: unknown): string {
  if (error instanceof SysError) {
    const words = advice[error.code];
    return words === undefined ? error.message : `${words} (${error.call}: ${error.code})`;
  }
  const { code } = error as { code?: string };
  if (code === undefined) throw error; // a defect of ours
  return advice[code] ?? code;
}

/** Asks an open node. Throws SysError when it is no V4L2 device. */
export function examineDevice(device: VideoDevice, { controls }: ExamineOptions): DeviceReport {
  const { card, driver, bus, flags } = queryCapability(device);
  const { kinds, queues } = abilitiesOf(device, flags);
  const offers = listOffers(device, queues);
  const formats = offers.formats.map(formatReport);
  const api = queues.map(({ multiplanar }) =>
    multiplanar ? ("multi-planar" as const) : ("single-planar" as const),
  );
  const use = toolLine(device.path, kinds, formats);
  return {
    ...{ node: device.path, card, driver, bus, kinds },
    api: [...new Set(api)],
    streaming: (flags & v.V4L2_CAP_STREAMING) !== 0,
    ...{ formats, cut: offers.cut },
    ...(controls && { controls: listControls(device).map(controlReport) }),
    ...(use !== undefined && { use }),
  };
}

function formatReport(offer: FormatOffer): FormatReport {
  const { direction, fourcc, description, compressed, sizes } = offer;
  return {
    queue: direction,
    format: fourccName(fourcc),
    ...{ description, compressed },
    sizes: sizes.map(sizeReport),
  };
}

const pixels = (range: SizeRange): Pixels => (range.min === range.max ? range.min : range);

const sizeReport = ({ width, height, rates }: SizeOffer): SizeReport => ({
  width: pixels(width),
  height: pixels(height),
  fps: rates,
});

function controlReport({ value, ...control }: Control): ControlReport {
  const { min, max, step, default: preset } = control;
  return {
    ...control,
    ...{ min: integer(min), max: integer(max), step: integer(step), default: integer(preset) },
    ...(value !== undefined && {
      value: typeof value === "string" ? printable(value) : integer(value),
    }),
  };
}

/** A number where it is exact. */
const integer = (value: bigint): JsonInteger =>
  Number.isSafeInteger(Number(value)) ? Number(value) : `${value}`;

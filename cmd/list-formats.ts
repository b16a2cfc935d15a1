// `--list-formats` of both senders.
import { sourceKind } from "../src/capture/open.ts";
import { printOut } from "../src/cli/stdout.ts";
import type { Outcome } from "../src/cli/tool.ts";
import { builtInFormats, cameraFormats } from "../src/devices/formats.ts";
import { UsageError } from "../src/errors.ts";

/** Prints the formats of what --device names. Throws UsageError or UnavailableError. */
export async function listFormats(device: string): Promise<Outcome> {
  const kind = sourceKind(device);
  if (kind === "recording")
    throw new UsageError(`--list-formats is for cameras and testsrc; ${device} is a recording`);
  await printOut(kind === "testsrc" ? builtInFormats() : cameraFormats(device));
  return "done";
}

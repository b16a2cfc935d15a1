// What --print-capabilities says: vhost-user, "Backend program conventions".
import type { Outcome } from "../cli/tool.ts";

/** The document for management software; `features` are the back-ends that can be chosen. */
export function capabilities(features: readonly string[]): string {
  return JSON.stringify({ type: "video", features });
}

/** Writes the document to stdout. */
export async function writeOut(features: readonly string[]): Promise<Outcome> {
  await Bun.write(Bun.stdout, `${capabilities(features)}\n`);
  return "done";
}

// The node that a receiver has made with --camera.
import type { Tool } from "../tool.ts";

/** Small pictures, so that an emulated reader is fast enough. */
export const small = { source: "-d testsrc -W 160 -H 120", bytes: 160 * 120 * 2 } as const;

/** The path that the receiver has printed. */
export async function madeNode(receiver: Tool): Promise<string> {
  await receiver.says("made the camera");
  const path = /made the camera ".*": (\/dev\/video\d+)/.exec(receiver.stderr())?.[1];
  if (path === undefined) throw new Error("the receiver names no node");
  return path;
}

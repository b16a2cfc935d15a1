// The tools in the executable, a row each; they are loaded only when called. The build makes a link and a manual page per row.
import type { Tool } from "../src/cli/tool.ts";

export interface ToolRow {
  /** As users spell it; as a subcommand `-` may stand for `_`. */
  readonly name: string;
  readonly summary: string;
  /** A subcommand that is called now and then, and gets no link of its own. */
  readonly unlinked?: true;
  load(): Promise<Tool>;
}

export const tools: readonly ToolRow[] = [
  {
    name: "sender",
    summary: "capture video and send its frames",
    load: async () => (await import("./sender.ts")).sender as unknown as Tool,
  },
  {
    name: "receiver",
    summary: "receive frames into memory, a file or a pipe",
    load: async () => (await import("./receiver.ts")).receiver as unknown as Tool,
  },
  {
    name: "receiver_sdl",
    summary: "receive frames into a window",
    load: async () => (await import("./receiver-sdl.ts")).receiverSdl as unknown as Tool,
  },
  {
    name: "sender_zc",
    summary: "capture video and lend its frames without copying them",
    load: async () => (await import("./sender-zc.ts")).senderZc as unknown as Tool,
  },
  {
    name: "receiver_zc",
    summary: "read a sender's frames where they are",
    load: async () => (await import("./receiver-zc.ts")).receiverZc as unknown as Tool,
  },
  {
    name: "receiver_zc_sdl",
    summary: "show a sender's frames from where they are",
    load: async () => (await import("./receiver-zc-sdl.ts")).receiverZcSdl as unknown as Tool,
  },
  {
    name: "share",
    summary: "prepare the host file by which two guests share memory",
    unlinked: true,
    load: async () => (await import("./share.ts")).share as unknown as Tool,
  },
  {
    name: "vhost-user-video",
    summary: "serve a virtio video decoder to a virtual machine",
    load: async () => (await import("./vhost-user-video.ts")).vhostUserVideo as unknown as Tool,
  },
];

/** The tool of that name, if there is one. */
export function findTool(name: string): ToolRow | undefined {
  const folded = name.replaceAll("-", "_");
  return tools.find((row) => row.name.replaceAll("-", "_") === folded);
}

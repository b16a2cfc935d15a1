// The tools in the executable, a row each; they are loaded only when called. The build makes a link per row.
import type { Tool } from "../src/cli.ts";

interface ToolRow {
  /** As users spell it; as a subcommand `-` may stand for `_`. */
  readonly name: string;
  readonly summary: string;
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

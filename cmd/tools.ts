// Loads the tools of the main executable, each only when it is called. The build makes a manual page per tool, and a link
// unless its row says otherwise.
import type { Tool } from "../src/cli/tool.ts";
import { type ToolName, type ToolRow, toolRows } from "./tool-rows.ts";

/** Every name of tool-rows.ts; the compiler asks for a missing one. */
const load = {
  sender: async () => (await import("./sender.ts")).sender,
  receiver: async () => (await import("./receiver.ts")).receiver,
  receiver_sdl: async () => (await import("./receiver-sdl.ts")).receiverSdl,
  sender_zc: async () => (await import("./sender-zc.ts")).senderZc,
  receiver_zc: async () => (await import("./receiver-zc.ts")).receiverZc,
  receiver_zc_sdl: async () => (await import("./receiver-zc-sdl.ts")).receiverZcSdl,
  devices: async () => (await import("./devices.ts")).devices,
  share: async () => (await import("./share.ts")).share,
  "vhost-user-video": async () => (await import("./vhost-user-video.ts")).vhostUserVideo,
  "vhost-user-media": async () => (await import("./vhost-user-media.ts")).vhostUserMedia,
  doctor: async () => (await import("./doctor.ts")).doctor,
  install: async () => (await import("./install.ts")).installTool(tools),
  uninstall: async () => (await import("./uninstall.ts")).uninstallTool,
} satisfies Record<ToolName, () => Promise<unknown>>;

export interface LoadableTool extends ToolRow {
  load(): Promise<Tool>;
}

export const tools: readonly LoadableTool[] = toolRows.map((row) => ({
  ...row,
  load: async () => (await load[row.name]()) as unknown as Tool, // options differ from tool to tool
}));

/** The tool of that name, if there is one. */
export function findTool(name: string): LoadableTool | undefined {
  const folded = name.replaceAll("-", "_");
  return tools.find((row) => row.name.replaceAll("-", "_") === folded);
}

/** The tools of the same kind, senders or receivers, that have an option: "--share", "-s". They are loaded for that. */
export async function relativesWith(tool: string, option: string): Promise<string[]> {
  const kindOf = (name: string) => name.split("_", 1)[0];
  const relatives = tools.filter(({ name }) => name !== tool && kindOf(name) === kindOf(tool));
  const loaded = await Promise.all(relatives.map((relative) => relative.load()));
  const has = ({ options }: Tool) =>
    Object.entries(options).some(([name, { short }]) =>
      [`--${name}`, `-${short}`].includes(option),
    );
  return loaded.filter(has).map(({ name }) => name);
}

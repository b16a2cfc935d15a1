// install: puts the executable with all that belongs to it under a prefix.
import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { log } from "../src/cli/log.ts";
import type { Options } from "../src/cli/options.ts";
import { COMPILED } from "../src/cli/own-program.ts";
import { shellWord } from "../src/cli/shell.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool } from "../src/cli/tool.ts";
import type { ToolText } from "../src/cli/tool-text.ts";
import { needed, UnavailableError } from "../src/errors.ts";
import { type Change, install, planInstallation } from "../src/install/install.ts";
import { layout } from "../src/install/layout.ts";
import { about, toolRow } from "./tool-rows.ts";

/** Options of install and uninstall. */
export const prefixOptions = {
  prefix: {
    type: "text",
    default: "/usr/local",
    value: "DIR",
    completes: { files: "folders" },
    help: "the folder that gets bin, share, lib and libexec",
  },
  "dry-run": { type: "flag", help: "only list what would be done" },
} as const satisfies Options;

/** The tool. It writes pages and completions of `tools`, which are loaded when it runs. */
export const installTool = (tools: readonly { load(): Promise<ToolText> }[]) =>
  defineTool({
    ...toolRow("install"),
    examples: [
      {
        does: "for all users, also with links named sender, receiver, ...",
        line: "install --links",
      },
      { does: "for this user", line: "install --prefix ~/.local" },
    ],
    options: {
      ...prefixOptions,
      links: { type: "flag", help: "also links named sender, receiver, ... in bin" },
      destdir: {
        type: "text",
        value: "DIR",
        completes: { files: "folders" },
        help: "write below this folder, and no manifest: for packages, with --prefix /usr",
      },
    },
    async run({ prefix: given, links, destdir, "dry-run": dryRun }) {
      if (!Bun.main.startsWith(COMPILED))
        throw new UnavailableError(
          "only a built executable can be installed; bun run build makes it",
        );
      const prefix = resolve(given);
      const packaged = destdir !== undefined;
      const place = packaged ? join(resolve(destdir), prefix) : prefix;
      const texts = await Promise.all(tools.map((tool) => tool.load()));
      const plan = permitted(() =>
        planInstallation(place, layout(texts, { prefix, links, about }), packaged),
      );
      if (!dryRun)
        permitted(() => {
          if (packaged) mkdirSync(dirname(place), { recursive: true });
          install(plan);
        });
      await printOut(changesText(place, plan.changes, dryRun));
      if (dryRun || packaged) return "done";
      log.info(`done; framepass uninstall --prefix ${shellWord(prefix)} removes it`);
      const bin = join(prefix, "bin");
      if (!(process.env.PATH ?? "").split(":").includes(bin)) log.warn(`${bin} is not in PATH`);
      return "done";
    },
  });

/** Runs `action`. Where this user may not write, or the disk is read-only, it becomes an UnavailableError. */
export function permitted<T>(action: () => T): T {
  return needed(action, ({ code }) => {
    if (code === "EACCES" || code === "EPERM") return "run it as root, or name another --prefix";
    if (code === "EROFS" || code === "ENOTDIR") return "name another --prefix";
    if (code === "ENOENT")
      return "the folder around it is not there: make it first, or name another --prefix";
    return code === "ENOSPC" || code === "EDQUOT" ? "free some space" : "";
  });
}

const past = { write: "wrote", keep: "unchanged", remove: "removed" };
const future = { write: "would write", keep: "unchanged", remove: "would remove" };

/** A line for each path. */
export const changesText = (prefix: string, changes: readonly Change[], dryRun: boolean): string =>
  changes
    .map(({ path, action }) => `${(dryRun ? future : past)[action]} ${join(prefix, path)}`)
    .join("\n");

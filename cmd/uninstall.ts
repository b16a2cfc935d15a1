// uninstall: removes what install wrote.
import { resolve } from "node:path";
import { log } from "../src/cli/log.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { planRemoval, uninstall } from "../src/install/uninstall.ts";
import { changesText, permitted, prefixOptions } from "./install.ts";
import { toolRow } from "./tool-rows.ts";

export const uninstallTool = defineTool({
  ...toolRow("uninstall"),
  examples: [
    { does: "show what would be removed", line: "uninstall --dry-run" },
    { does: "remove an installation of this user", line: "uninstall --prefix ~/.local" },
  ],
  options: prefixOptions,
  async run({ prefix: given, "dry-run": dryRun }) {
    const prefix = resolve(given);
    const removal = permitted(() => planRemoval(prefix));
    if (!dryRun) permitted(() => uninstall(removal));
    await printOut(changesText(prefix, removal.changes, dryRun));
    if (!dryRun) log.info("done");
    return "done";
  },
});

if (import.meta.main) await runMain(uninstallTool);

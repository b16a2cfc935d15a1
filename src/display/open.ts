// Opens the window of a tool once its display server has answered.
import type { Context } from "../cli/tool.ts";
import { Display } from "./display.ts";
import type { DisplayOptions } from "./display-options.ts";
import { answeringDriver } from "./servers.ts";

/** A Display for `tool`; undefined when `signal` aborts. Throws UnavailableError or UsageError. */
export async function openDisplay(
  tool: string,
  { loop, signal }: Context,
  options: DisplayOptions,
): Promise<Display | undefined> {
  const driver = await answeringDriver(loop, process.env, signal);
  return signal.aborted ? undefined : new Display(tool, loop, options, driver);
}

// What is logged while something runs.
import { log } from "../../src/cli/log.ts";

const DEBUG = 4;

/** The lines that are logged while `act` runs, those of level debug included: type and text. */
export function logged(act: () => void): string[] {
  const { level } = log;
  const said: string[] = [];
  log.level = DEBUG;
  log.setReporters([{ log: ({ args, type }) => said.push(`${type} ${args.join(" ")}`) }]);
  try {
    act();
  } finally {
    log.level = level;
    log.setReporters([]);
  }
  return said;
}

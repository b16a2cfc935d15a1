// What failed while other work ran beside it runs once more on its own, and that run decides (decision 0036).

/** More failed files or scenarios than these are no accident of a busy machine: nothing runs a second time. */
export const SECOND_RUNS = 3;

/** Whether what failed has a second run. */
export const hasSecondRun = (failed: readonly unknown[]): boolean =>
  failed.length > 0 && failed.length <= SECOND_RUNS;

/** The line that says that a second run begins. */
export const secondRunLine = (names: readonly string[]): string =>
  `== second run, one at a time: ${names.join(", ")}`;

/** The files of the failed tests in the output of `bun test`, each once. The lists at its end name tests without a file. */
export function failedFiles(output: string): string[] {
  const files = new Set<string>();
  let file: string | undefined;
  for (const line of output.split("\n")) {
    const [, heading] = /^(\S+\.test\.ts):$/.exec(line) ?? [];
    if (heading !== undefined) file = heading;
    else if (/^\d+ tests (failed|skipped):$/.test(line)) file = undefined;
    else if (line.startsWith("(fail) ") && file !== undefined) files.add(file);
  }
  return [...files];
}

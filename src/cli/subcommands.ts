// The subcommands of an executable, run by citty. Words after a subcommand are its own: our parser is stricter than citty's.
import { defineCommand, runCommand } from "citty";

export interface Subcommand {
  readonly name: string;
  readonly summary: string;
  /** Runs it with the words after its name. */
  run(words: readonly string[]): Promise<void>;
}

/** Runs one of `rows`, which has that name. Throws what it throws. */
export async function runSubcommand(
  program: Omit<Subcommand, "run">,
  rows: readonly Subcommand[],
  name: string,
  words: readonly string[],
): Promise<void> {
  const command = ({ name, summary, run }: Subcommand) =>
    defineCommand({
      meta: { name, description: summary },
      run: ({ rawArgs }) => run(rawArgs),
    });
  const main = defineCommand({
    meta: { name: program.name, description: program.summary },
    subCommands: Object.fromEntries(rows.map((row) => [row.name, command(row)])),
  });
  await runCommand(main, { rawArgs: [name, ...words] });
}

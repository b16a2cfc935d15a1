// How a tool starts its own program again.

/** A program: its file, the name it is called by, and the words before its options. */
export interface OwnProgram {
  readonly file: string;
  readonly name: string;
  readonly words: readonly string[];
}

/** A compiled executable's sources are under this path. */
const COMPILED = "/$bunfs/";

/**
 * This program, called as the tool `name`. /proc/self/exe is the file that runs now, also when it was replaced or removed. The
 * name selects the tool in the executable of all tools; an executable of one tool ignores it.
 */
export function ownProgram(name: string): OwnProgram {
  const words = Bun.main.startsWith(COMPILED) ? [] : [Bun.main];
  return { file: "/proc/self/exe", name, words };
}

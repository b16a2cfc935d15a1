// Named pipes for tests.
import { join } from "node:path";

/**
 * Makes named pipes in a folder; returns their paths. Call it outside of a count of open descriptors: the runtime keeps
 * some of its own for children, and closes them later.
 */
export async function makePipes(directory: string, count: number): Promise<string[]> {
  const paths = Array.from({ length: count }, (_, i) => join(directory, `pipe${i}`));
  const child = Bun.spawn(["mkfifo", ...paths], { stdio: ["ignore", "ignore", "ignore"] });
  if ((await child.exited) !== 0) throw new Error(`mkfifo failed in ${directory}`);
  return paths;
}

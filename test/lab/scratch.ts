// Temporary directories of the lab: removed by their owner, or when the process ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const live = new Set<Scratch>();
process.on("exit", () => {
  for (const scratch of live) scratch[Symbol.dispose]();
});

/** A directory that is removed with everything in it. */
export class Scratch {
  readonly path = mkdtempSync(join(tmpdir(), "framepass-lab-"));

  constructor() {
    live.add(this);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
    live.delete(this);
  }
}

// Memory that only a start needs is given back: the code that starts the runtime, loads modules and compiles functions is more than
// half of what is resident. Figures: docs/decisions/0051-idle-and-small.md.
import { dropProgramPages } from "../../ffi/program-pages.ts";
import type { Loop } from "../loop.ts";

/** Seconds after a start. The runtime compiles the functions of a stream in several stages, up to half a minute later. */
const AFTER_S = [2, 10, 20, 30, 60] as const;

let begin = (): void => undefined;

/** Gives pages back after the start of the tool, and of each stream, until the result is disposed. */
export function givingBackPages(loop: Loop): Disposable {
  let timer: Disposable | undefined;
  const next = (sinceS: number, [atS, ...later]: readonly number[]) => {
    timer?.[Symbol.dispose]();
    if (atS === undefined) return;
    timer = loop.after((atS - sinceS) * 1000, () => {
      if (dropped()) next(atS, later);
    });
  };
  begin = () => next(0, AFTER_S);
  begin();
  return {
    [Symbol.dispose]: () => {
      begin = () => undefined;
      timer?.[Symbol.dispose]();
    },
  };
}

/** A stream begins: its first frames need code that the ones after it do not need. */
export const streamBegins = (): void => begin();

/** False where the process must not see its mappings: memory that is not given back is no reason to stop. */
function dropped(): boolean {
  try {
    dropProgramPages();
    return true;
  } catch {
    return false;
  }
}

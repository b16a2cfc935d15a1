// The runtime's own epoll, as a descriptor to wait for: it is readable while the runtime has something to do, for example a signal to
// deliver. That is not documented, so each process tries it: a signal must make it readable, and a turn of the runtime must end that.
import { readdirSync, readlinkSync } from "node:fs";
import { hasInput } from "./notifier.ts";

/** The kernel ignores this signal unless a handler is set, and no tool uses it. */
const TRIED = "SIGURG";
/** The first turns of a runtime that has just started do not look at its epoll. */
const MOST_TURNS = 5;

/** The runtime's epoll. Undefined if there is none that a signal makes readable, or if `folder` cannot be read. */
export async function runtimePoll(folder = "/proc/self/fd"): Promise<number | undefined> {
  await turnsUntil(() => !epolls(folder).some(hasInput));
  const quiet = epolls(folder).filter((fd) => !hasInput(fd));
  const ignored = () => {};
  process.on(TRIED, ignored);
  process.kill(process.pid, TRIED); // this thread does not block it, so it is delivered before the call returns
  const woken = quiet.find(hasInput);
  process.off(TRIED, ignored);
  if (woken === undefined) return undefined;
  return (await turnsUntil(() => !hasInput(woken))) ? woken : undefined;
}

/** Lets the runtime take turns until the condition is true; false if that takes too many. */
async function turnsUntil(condition: () => boolean): Promise<boolean> {
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    if (condition()) return true;
    await new Promise(setImmediate);
  }
  return condition();
}

/** The epoll descriptors of this process. None where it must not see its descriptors (AppArmor, for example). */
function epolls(folder: string): number[] {
  try {
    return readdirSync(folder)
      .filter((name) => isEpoll(`${folder}/${name}`))
      .map(Number);
  } catch {
    return [];
  }
}

function isEpoll(path: string): boolean {
  try {
    return readlinkSync(path) === "anon_inode:[eventpoll]";
  } catch {
    return false; // the descriptor that the folder was read with
  }
}

// v4l2-ctl reading a camera for as long as a check needs it.
import type { Job } from "../agent.ts";
import type { Guest } from "../guest.ts";
import { wanted } from "../wanted.ts";

/** What it reads goes into the guest's memory, because writing to the share is slow. */
export const readFile = "/tmp/read";
/** What it says: each call, and a line for each frame with the frame's time. Then when STREAMON had been called. */
const timesFile = "/tmp/times";

/** Starts to read a node, before everything else in the guest: the driver overwrites what is late. */
export function startReader(guest: Guest, node: string): Job {
  return guest.start(
    `echo -20 >/proc/self/autogroup; rm -f ${readFile}; : >${timesFile}
     (until grep -q STREAMON ${timesFile}; do sleep 0.03; done; cut -d' ' -f1 /proc/uptime >${timesFile}.on) &
     exec v4l2-ctl -d ${node} --verbose --stream-mmap=8 --stream-count=100000 --stream-to=${readFile} >>${timesFile} 2>&1`,
    { timeoutMs: 200_000 },
  );
}

/** When the reader began to stream, at most 0.1 s late, and when each of its frames was written into the node: seconds. */
export interface ReadTimes {
  readonly began: number;
  readonly frames: readonly number[];
}

/** The reader must still be there and must have seen no error; ends it, and puts what it read into the share as "read". */
export async function endReader(guest: Guest, reader: Job): Promise<ReadTimes> {
  reader.kill("TERM");
  wanted("how the reader ended", (await reader.result).status, 143);
  const said = await guest.ok(`mv ${readFile} read; cat ${timesFile}.on ${timesFile}`);
  const error = /.*returned -1.*/.exec(said)?.[0];
  if (error !== undefined) throw new Error(`the reader saw ${error.trim()}`);
  const frames = [...said.matchAll(/cap dqbuf:.* ts: (\d+\.\d+)/g)];
  return { began: Number.parseFloat(said), frames: frames.map(([, time]) => Number(time)) };
}

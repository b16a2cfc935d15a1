// A program whose loop has nothing to do, and that answers each SIGUSR2 with a byte on stdout.
import { writeSync } from "node:fs";
import { runtimePoll } from "../../ffi/runtime-poll.ts";
import { Loop } from "../../src/loop.ts";

const poll = await runtimePoll();
if (poll === undefined) throw new Error("the runtime's epoll was not found");
using loop = new Loop();
loop.endWaitsBy({
  fd: poll,
  timers: () => false,
  gaveUp: () => {
    throw new Error("the loop gave up");
  },
});
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
process.on("SIGUSR2", () => writeSync(1, "."));
writeSync(1, "r");
await loop.run(loop.sleep(1e9, stop.signal));

// How much memory a stream takes, as the kernel counts it: proc_pid_status(5).
import { expect, test } from "bun:test";
import { useOf } from "../bench/process-use.ts";
import { listening, Tool, toLoopback } from "../support/tool.ts";
import { until } from "../support/until.ts";

/** MiB of each end at 640x480: 36 to 41 were measured, 51 to 56 with all that a start needs. */
const MOST_MIB = 46;
/** MiB that are no pages of files, which all processes of the program share. */
const MOST_OWN_MIB = 18;

test("sender and receiver give back the memory that only their start has needed", async () => {
  await using receiver = await listening(["--stats", "0"]);
  await using sender = await Tool.start("sender", [...toLoopback(receiver.port), "--stats", "0"]);
  await receiver.says("sends 640x480");
  await Bun.sleep(2500); // all that a start needs was resident
  for (const { pid } of [receiver, sender]) {
    await until(`at most ${MOST_MIB} MiB`, 40_000, () => {
      return useOf([pid]).rssMib <= MOST_MIB || undefined;
    });
    const { rssMib, fileMib } = useOf([pid]);
    expect(rssMib - fileMib).toBeLessThan(MOST_OWN_MIB);
  }
});

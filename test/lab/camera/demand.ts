// --on-demand: the sender's camera streams only while a program reads the receiver's.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { refused } from "./faults.ts";
import { small, withCamera } from "./loopback-node.ts";
import { endReader, readFile, startReader } from "./reader.ts";
import { recorded } from "./recorded.ts";

/** From the reader's STREAMON to the sender's first picture in the node. */
const limitMs = 2500;

export async function checkDemand(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(
    `${name}: --on-demand: a sender is let in within 2.5 s of a reader's STREAMON, and let go after its end`,
    () =>
      withCamera(guest, "--on-demand --camera-size 160x120", async ({ receiver, node, send }) => {
        const sender = send(`${small.source} -r 15 --reconnect`);
        await sender.says("trying again");
        await guest.ok("test ! -e /tmp/c");
        await refused(guest, node); // also while the camera only waits
        await Bun.sleep(2000); // until the sender waits as long as it ever does between two attempts
        const tookMs: number[] = [];
        for (const round of [1, 2]) {
          const before = receiver.frames();
          const reader = startReader(guest, node);
          await guest.until(`test -s ${readFile}`);
          await receiver.moves(before + 5, 10_000);
          const { began, frames } = await endReader(guest, reader);
          const read = await recorded(guest, "read", small.bytes);
          const first = frames[read.places[0] ?? -1];
          if (first === undefined) throw new Error(`no picture of the sender in round ${round}`);
          const ms = Math.round((first - began) * 1000);
          if (ms > limitMs) throw new Error(`first picture after ${ms} ms, round ${round}`);
          tookMs.push(ms);
          await guest.until("test ! -e /tmp/c", 8000);
          const sent = sender.frames();
          await Bun.sleep(1000);
          if (sender.frames() > sent + 1) throw new Error("the sender goes on without a reader");
        }
        return { measured: `first picture after ${tookMs.join(" and ")} ms` };
      }),
  );
}

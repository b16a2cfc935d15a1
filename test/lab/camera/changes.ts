// What a reader of a camera meets when the sender dies, comes back, or sends another size, and who else may write.
import type { Job } from "../agent.ts";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { small, withCamera } from "./loopback-node.ts";
import { recorded } from "./recorded.ts";

const file = "/tmp/read";
const fixed = "--keep --camera-size 160x120";

/** Reads a node until it is ended, into the guest's memory: writing to the share is slow, and the driver overwrites what is late. */
function startReader(guest: Guest, node: string): Job {
  return guest.start(
    `rm -f ${file}; exec v4l2-ctl -d ${node} --stream-mmap=8 --stream-count=100000 --stream-to=${file}`,
    { timeoutMs: 200_000 },
  );
}

/** The reader must still be there; ends it, and puts what it read into the share as "read". */
async function endReader(guest: Guest, reader: Job): Promise<void> {
  reader.kill("TERM");
  const { status, stderr } = await reader.result;
  wanted("how the reader ended", status, 143);
  if (/VIDIOC_\w+ returned -1/.test(stderr)) throw new Error(`the reader saw ${stderr.trim()}`);
  await guest.ok(`mv ${file} read`);
}

export async function checkChanges(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(`${name}: a reader before the first sender sees the card, then the sender`, () =>
    withCamera(guest, fixed, async ({ node, send }) => {
      const reader = startReader(guest, node);
      await guest.until(`test -s ${file}`);
      await send(`${small.source} -r 15`).moves(40);
      await endReader(guest, reader);
      const read = await recorded(guest, "read", small.bytes);
      wanted("torn", read.torn, 0);
      wanted("cards first", read.others >= 1, true);
      if (read.numbers.length < 20)
        throw new Error(`${read.numbers.length} pictures of the sender`);
    }),
  );
  await lab.check(
    `${name}: a sender is killed and comes back under a reader, which sees no error and no gap`,
    () =>
      withCamera(guest, fixed, async ({ node, send }) => {
        const first = send(`${small.source} -r 15`);
        await first.moves(15);
        const reader = startReader(guest, node);
        await first.moves(first.frames() + 30);
        first.kill("KILL");
        const fromMs = performance.now();
        await Bun.sleep(3000);
        const second = send(`${small.source} -r 15`);
        await second.moves(0);
        const seconds = (performance.now() - fromMs) / 1000;
        await second.moves(30);
        await endReader(guest, reader);
        const read = await recorded(guest, "read", small.bytes);
        wanted("torn", read.torn, 0);
        const again = read.numbers.findIndex((number, i) => number < (read.numbers[i - 1] ?? 0));
        wanted("pictures of both senders", again > 10 && read.numbers.length - again > 10, true);
        // Two a second while there is none.
        if (read.others < 4 || read.others > 2 * seconds + 3)
          throw new Error(`${read.others} stand-by pictures in ${seconds.toFixed(1)} s`);
      }),
  );
  await lab.check(
    `${name}: another size under a reader is fitted in; the node takes it when the reader has left`,
    () =>
      withCamera(guest, "--keep", async ({ node, send }) => {
        const first = send(`${small.source} -r 15`);
        await first.moves(15);
        const reader = startReader(guest, node);
        await guest.until(`test -s ${file}`);
        first.kill("TERM");
        await first.end();
        await send("-d testsrc -W 320 -H 180 -r 15").moves(40);
        await endReader(guest, reader);
        const read = await recorded(guest, "read", small.bytes);
        wanted("torn", read.torn, 0);
        const last = read.frame(read.frames - 1);
        wanted("black above the fitted picture", last[(5 * 160 + 80) * 2], 16);
        wanted("bars in it", (last[(20 * 160 + 4) * 2] ?? 0) > 150, true);
        await guest.until(`v4l2-ctl -d ${node} --get-fmt-video | grep -q 320/180`, 8000);
        await guest.ok(`v4l2-ctl -d ${node} --stream-mmap=8 --stream-count=20 --stream-to=read`);
        const after = await recorded(guest, "read", 320 * 180 * 2);
        wanted("frames of the new size", after.numbers.length, 20);
      }),
  );
  await lab.check(`${name}: a second writer is refused, the first goes on`, () =>
    withCamera(guest, fixed, async ({ node }) => {
      const { status, stderr } = await guest.run(`framepass receiver -l unix:/tmp/d -o ${node}`);
      wanted("status", status, 3);
      const text = "guest A is written by another program already";
      wanted("text", stderr.includes(text), true);
      await guest.ok(`v4l2-ctl -d ${node} --stream-mmap --stream-count=3 --stream-to=read`);
    }),
  );
}

/** The sender's camera streams only while a program reads the receiver's. */
export async function checkDemand(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(
    `${name}: --on-demand: a sender is let in within 2.5 s of a reader's start, and let go after its end`,
    () =>
      withCamera(guest, "--on-demand --camera-size 160x120", async ({ receiver, node, send }) => {
        const sender = send(`${small.source} -r 15 --reconnect`);
        await sender.says("trying again");
        await guest.ok("test ! -e /tmp/c");
        await Bun.sleep(3000); // until the sender waits as long as it ever does between two attempts
        for (const round of [1, 2]) {
          const before = receiver.frames();
          const reader = startReader(guest, node);
          await guest.until(`test -s ${file}`);
          const fromMs = performance.now();
          await receiver.moves(before, 10_000);
          const ms = performance.now() - fromMs;
          if (ms > 2500) throw new Error(`first picture after ${ms.toFixed(0)} ms, round ${round}`);
          await endReader(guest, reader);
          await guest.until("test ! -e /tmp/c", 8000);
          const sent = sender.frames();
          await Bun.sleep(1000);
          if (sender.frames() > sent + 1) throw new Error("the sender goes on without a reader");
        }
      }),
  );
}

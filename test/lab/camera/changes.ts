// What a reader of a camera meets when the sender dies, comes back, or sends another size, and who else may write.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { fixed, small, withCamera } from "./loopback-node.ts";
import { endReader, readFile, startReader } from "./reader.ts";
import { recorded } from "./recorded.ts";

export async function checkChanges(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(`${name}: a reader before the first sender sees the card, then the sender`, () =>
    withCamera(guest, fixed, async ({ node, send }) => {
      const reader = startReader(guest, node);
      await guest.until(`test -s ${readFile}`);
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
        await guest.until(`test -s ${readFile}`);
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

// What a reader of a camera meets when the sender dies, comes back, or sends another size, and who else may write.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { madeNode, small } from "./loopback-node.ts";
import { recorded } from "./recorded.ts";

export async function checkChanges(lab: Lab, guest: Guest, name: string): Promise<void> {
  const options = `-l unix:/tmp/c --keep --camera "guest A" --camera-size 160x120`;
  await lab.check(
    `${name}: a reader before the first sender sees the card, then the sender`,
    async () => {
      const receiver = await startReceiver(guest, options);
      const node = await madeNode(receiver);
      const reader = guest.start(
        `v4l2-ctl -d ${node} --stream-mmap --stream-count=60 --stream-to=read`,
      );
      await guest.until("test -s read");
      const sender = new Tool(guest, `sender ${small.source} -r 30 -a unix:/tmp/c`);
      wanted("status of the reader", (await reader.result).status, 0);
      const read = await recorded(guest, "read", small.bytes);
      wanted("torn", read.torn, 0);
      wanted("cards first", read.others >= 1 && read.numbers.length >= 40, true);
      await end(receiver, sender);
    },
  );
  await lab.check(
    `${name}: a sender is killed and comes back under a reader, which sees no error and no gap`,
    async () => {
      const receiver = await startReceiver(guest, options);
      const node = await madeNode(receiver);
      const first = new Tool(guest, `sender ${small.source} -r 30 -a unix:/tmp/c`);
      await first.moves(15);
      const times = "read.times";
      const reader = guest.start(
        `rm -f read; v4l2-ctl -d ${node} --stream-mmap --stream-count=150 --stream-to=read --verbose >${times} 2>&1`,
        { timeoutMs: 60_000 },
      );
      await Bun.sleep(1000);
      first.kill("KILL");
      await Bun.sleep(3000);
      const second = new Tool(guest, `sender ${small.source} -r 30 -a unix:/tmp/c`);
      wanted("status of the reader", (await reader.result).status, 0);
      const read = await recorded(guest, "read", small.bytes);
      wanted("frames", read.frames, 150);
      wanted("torn", read.torn, 0);
      const at = read.numbers.findIndex((number, i) => number < (read.numbers[i - 1] ?? 0));
      wanted("two senders", at > 0, true);
      if (read.others < 4 || read.others > 12)
        throw new Error(`${read.others} stand-by pictures in 3 s, about 6 wanted`);
      await end(receiver, second);
    },
  );
  await lab.check(
    `${name}: another size under a reader is fitted in; the node takes it when the reader has left`,
    async () => {
      const receiver = await startReceiver(guest, `-l unix:/tmp/c --keep --camera "guest A"`);
      const node = await madeNode(receiver);
      const first = new Tool(guest, `sender ${small.source} -r 30 -a unix:/tmp/c`);
      await first.moves(15);
      const reader = guest.start(
        `v4l2-ctl -d ${node} --stream-mmap --stream-count=120 --stream-to=read`,
        { timeoutMs: 60_000 },
      );
      await Bun.sleep(1000);
      first.kill("TERM");
      await first.end();
      const second = new Tool(guest, "sender -d testsrc -W 320 -H 180 -r 30 -a unix:/tmp/c");
      wanted("status of the reader", (await reader.result).status, 0);
      const read = await recorded(guest, "read", small.bytes);
      wanted("frames", read.frames, 120);
      wanted("torn", read.torn, 0);
      const last = read.frame(119);
      wanted("black above the fitted picture", last[(5 * 160 + 80) * 2], 16);
      wanted("bars in it", (last[(20 * 160 + 4) * 2] ?? 0) > 150, true);
      await guest.until(`v4l2-ctl -d ${node} --get-fmt-video | grep -q 320/180`, 5000);
      await guest.ok(`v4l2-ctl -d ${node} --stream-mmap --stream-count=30 --stream-to=read`);
      const after = await recorded(guest, "read", 320 * 180 * 2);
      wanted("frames of the new size", after.numbers.length, 30);
      await end(receiver, second);
    },
  );
  await lab.check(`${name}: a second writer is refused, the first goes on`, async () => {
    const receiver = await startReceiver(guest, options);
    const node = await madeNode(receiver);
    const { status, stderr } = await guest.run(`framepass receiver -l unix:/tmp/d -o ${node}`);
    wanted("status", status, 3);
    wanted("text", stderr.includes("guest A is written by another program already"), true);
    await guest.ok(`v4l2-ctl -d ${node} --stream-mmap --stream-count=3 --stream-to=read`);
    receiver.kill("TERM");
    wanted("status of the first", (await receiver.end()).status, 130);
  });
}

async function end(receiver: Tool, sender: Tool): Promise<void> {
  sender.kill("TERM");
  await sender.end();
  receiver.kill("TERM");
  wanted("status of the receiver", (await receiver.end()).status, 130);
}

// Either side is killed and started again: the other side continues, and the killed one leaves nothing behind.

import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const rounds = 3;
const limitMs = 2000;
/** Capture buffers of the sender, and the one that a receiver without a window needs. */
const ofSender = 4;
const ofReceiver = 1;
const camera = "sender -d /dev/video0 -r 30 -a 127.0.0.1 -p 5000 --reconnect";

export const scenario: Scenario = {
  name: "restart",
  title: "a sender or receiver that is killed and started again is streamed with again",
  seconds: 22,
  besideOthers: true,
  async run(lab) {
    const guest = await lab.boot({ modules: ["vivid n_devs=1 node_types=0x1"] });
    let receiver = await startReceiver(guest, "-p 5000 --keep");
    let sender = new Tool(guest, camera);
    await receiver.moves(5);
    const [sending, receiving] = [await held(guest, sender), await held(guest, receiver)];

    await lab.check(
      "the sender holds four buffers, the receiver one, and nothing more",
      async () => {
        wanted("mappings of the sender", sending.mappings, ofSender);
        wanted("mappings of the receiver", receiving.mappings, ofReceiver);
        wanted("dma-bufs in the kernel", await dmaBufs(guest), ofSender + ofReceiver);
      },
    );
    for (let round = 1; round <= rounds; round++) {
      await lab.check(`receiver killed and back, round ${round}`, async () => {
        receiver.kill("KILL");
        wanted("exit status", (await receiver.end()).status, 137);
        await guest.until(`${objects} = ${ofSender}`); // only the sender's are left
        receiver = await startReceiver(guest, "-p 5000 --keep");
        await within(limitMs, () => receiver.moves(3));
        same("sender", await held(guest, sender), sending);
        wanted("dma-bufs in the kernel", await dmaBufs(guest), ofSender + ofReceiver);
      });
    }
    for (let round = 1; round <= rounds; round++) {
      await lab.check(`sender killed and back, round ${round}`, async () => {
        const before = receiver.frames();
        sender.kill("KILL");
        wanted("exit status", (await sender.end()).status, 137);
        await guest.until(`${objects} = 0`); // the receiver has released its own, too
        sender = new Tool(guest, camera);
        await sender.says("4 dmabuf buffers");
        await within(limitMs, () => receiver.moves(before + 5));
        same("sender", await held(guest, sender), sending);
        same("receiver", await held(guest, receiver), receiving);
        wanted("dma-bufs in the kernel", await dmaBufs(guest), ofSender + ofReceiver);
      });
    }
    await lab.check("the driver's own buffers are freed with a killed sender", async () => {
      sender.kill("KILL");
      await sender.end();
      const before = receiver.frames();
      const mapped = new Tool(guest, `${camera} -m mmap`);
      await receiver.moves(before + 5);
      wanted("mappings", (await held(guest, mapped)).mappings, 4);
      mapped.kill("KILL");
      await mapped.end();
      await guest.ok("v4l2-ctl -d0 --stream-mmap --stream-count=2");
    });
    await lab.check("after SIGINT nothing is left", async () => {
      receiver.kill("INT");
      wanted("exit status", (await receiver.end()).status, 130);
      wanted("dma-bufs in the kernel", await dmaBufs(guest), 0);
    });
  },
};

interface Held {
  readonly descriptors: number;
  /** Mappings of frames; the number of the runtime's own varies. */
  readonly mappings: number;
}

async function held(guest: Guest, tool: Tool): Promise<Held> {
  const proc = `/proc/${await tool.pid()}`;
  const frames = "/dmabuf:|/memfd:framepass|/dev/video";
  const counts = await guest.ok(`ls ${proc}/fd | wc -l; grep -cE '${frames}' ${proc}/maps`);
  const [descriptors = 0, mappings = 0] = counts.trim().split("\n").map(Number);
  return { descriptors, mappings };
}

function same(who: string, now: Held, before: Held): void {
  wanted(`descriptors of the ${who}`, now.descriptors, before.descriptors);
  wanted(`mappings of the ${who}`, now.mappings, before.mappings);
}

/** A shell expression: how many dma-bufs the kernel has. */
const total = "sed -n 's/^Total \\([0-9]*\\) objects.*/\\1/p' /sys/kernel/debug/dma_buf/bufinfo";
const objects = `test "$(${total})"`;

async function dmaBufs(guest: Guest): Promise<number> {
  return Number(await guest.ok(total));
}

async function within(limitMs: number, action: () => Promise<void>): Promise<void> {
  const from = performance.now();
  await action();
  const ms = Math.round(performance.now() - from);
  if (ms > limitMs) throw new Error(`streaming again after ${ms} ms, limit ${limitMs}`);
}

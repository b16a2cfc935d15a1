// A camera's own buffers in an output: receiver_zc queues what it borrowed to vivid's HDMI output, which is looped into a
// capture node. The copy flow does it in vivid-loop.ts.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { FRAME_BYTES, setMoving, shiftOf } from "../moving.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { recorded } from "./recorded.ts";

const frames = 300;
const limitMs = 120_000;
const address = "unix:/run/shown";
/** How many dma-bufs the kernel has. */
const dmaBufs = "sed -n 's/^Total \\([0-9]*\\) objects.*/\\1/p' /sys/kernel/debug/dma_buf/bufinfo";
/** The receiver's own buffers, for stand-by pictures. */
const OWN = 4;

/** The third instance of the scenario's vivid: its capture node, and its output. */
const filming = 2;
const screen = "/dev/video3";

interface Shown {
  readonly frames: number;
  readonly copied: number;
  readonly left_out: number;
}

/** 640x480 from the output into the capture node. */
async function connect(guest: Guest): Promise<void> {
  await guest.ok(
    `for d in ${filming} 3; do v4l2-ctl -d$d --set-dv-bt-timings index=0; done
     c=$(v4l2-ctl -d${filming} --list-ctrls | sed -n 's/ *\\(hdmi_[0-9_]*_is_connected_to\\) .*/\\1/p')
     v4l2-ctl -d${filming} --set-ctrl $c=2 --set-ctrl osd_text_mode=2
     v4l2-ctl -d${filming} --set-fmt-video width=640,height=480,pixelformat=YUYV`,
  );
}

const film = (count: number) =>
  `v4l2-ctl -d${filming} --stream-mmap --stream-count=${count} --stream-to=filmed 2>/dev/null`;

async function start(guest: Guest, words: string): Promise<Tool> {
  const receiver = new Tool(guest, `${words} -l ${address} -o ${screen}`, limitMs);
  await receiver.says("listening on");
  return receiver;
}

/** Of `least` frames or more none may have been copied. A busy host lets the output fall behind, which leaves frames out. */
function checkShown(stopped: Readonly<Record<string, unknown>>, least: number): void {
  const [shown] = stopped.cameras as readonly Shown[];
  const { frames: count = 0, copied, left_out: leftOut = 0 } = shown ?? {};
  wanted("copied", copied, 0);
  if (count + leftOut < least || leftOut > least / 10)
    throw new Error(`${count} frames shown, ${leftOut} left out, must be ${least}`);
}

/** Checks that the filmed pictures are whole pictures of a moving camera, in order, of which many differ. */
function checkFilmed(guest: Guest, count: number): void {
  const still = readFileSync(join(guest.share, "still"));
  const filmed = readFileSync(join(guest.share, "filmed"));
  wanted("filmed frames", filmed.length / FRAME_BYTES, count);
  const shifts = Array.from({ length: count }, (_, i) =>
    shiftOf(filmed.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES), still),
  );
  wanted("torn frames", shifts.filter((shift) => shift === undefined).length, 0);
  const different = shifts.filter((shift, i) => shift !== shifts[i - 1]).length;
  if (different < count / 5) throw new Error(`only ${different} different pictures`);
}

/** `cameras`: the capture nodes, whose buffers a DMA heap made, or the driver. */
export async function checkZeroCopyOutput(
  lab: Lab,
  guest: Guest,
  cameras: readonly { readonly device: number; readonly kind: string }[],
): Promise<void> {
  await connect(guest);
  for (const [i, { device, kind }] of cameras.entries()) {
    const count = i === 0 ? frames : 60;
    const send = `sender_zc -a ${address} -b 6 -r 30 -d /dev/video${device}`;
    await lab.check(
      `the buffers of a ${kind} camera are shown by an output where they are: ${count} frames filmed, 0 copied, none torn`,
      async () => {
        await setMoving(guest, device);
        const receiver = await start(guest, "receiver_zc");
        const sender = new Tool(guest, send, limitMs);
        await sender.moves(30);
        await guest.ok(film(count), { timeoutMs: limitMs });
        sender.kill("INT");
        wanted("status of the sender", (await sender.end()).status, 130);
        const { status, stopped } = await receiver.end();
        wanted("status of the receiver", status, 0);
        checkShown(stopped, 30 + count / 2);
        checkFilmed(guest, count);
        wanted("dma-bufs in the kernel", Number(await guest.ok(dmaBufs)), 0);
      },
    );
  }
  await lab.check(
    `all ${frames} frames of a sender that ends are acknowledged, the last one as well`,
    async () => {
      const receiver = await start(guest, "receiver_zc");
      const words = `sender_zc -a ${address} -b 6 -r 30 -d /dev/video0 -n ${frames}`;
      const { status, stopped } = await new Tool(guest, words, limitMs).end();
      wanted("status of the sender", status, 0);
      wanted("frames that came back", stopped.returned, frames);
      checkShown((await receiver.end()).stopped, frames);
    },
  );
  await lab.check(
    "a sender killed with buffers in the output: stand-by goes on, and nothing of it is left",
    async () => {
      const receiver = await start(guest, "receiver_zc --keep");
      const send = `sender_zc -a ${address} -b 6 -r 30 -d /dev/video0`;
      const killed = new Tool(guest, send, limitMs);
      await receiver.moves(30);
      killed.kill("KILL");
      await killed.end();
      await guest.until(`test "$(${dmaBufs})" = ${OWN}`);
      await guest.ok(film(5));
      const read = await recorded(guest, "filmed", FRAME_BYTES);
      wanted("stand-by pictures", read.others, 5);
      const before = receiver.frames();
      const next = new Tool(guest, send, limitMs);
      await receiver.moves(before + 30);
      next.kill("INT");
      await next.end();
      receiver.kill("INT");
      const { status, stopped } = await receiver.end();
      wanted("status of the receiver", status, 130);
      checkShown(stopped, 60);
      wanted("dma-bufs in the kernel", Number(await guest.ok(dmaBufs)), 0);
    },
  );
}

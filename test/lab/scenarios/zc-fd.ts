// The zero-copy flow between two programs of one kernel, with a camera: its buffers are passed as descriptors. They come from a
// DMA heap where the driver takes such buffers, otherwise the driver exports its own (EXPBUF).
import { join } from "node:path";
import { projectDir } from "../../../scripts/ensure.ts";
import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";
import { buildStatic } from "../modules.ts";
import { checkMoving, setMoving } from "../moving.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const frames = 100;
const address = "unix:/run/frames";
const send = `sender_zc -a ${address} -b 6 -r 30`;
/** A C sender_zc takes its buffer back after this time, and is one acknowledgement late from then on. */
const C_PATIENCE_MS = 200;
const starts = 10;
/** Frames a start. */
const few = 6;
/** A busy host makes the guest late; one of these rounds has to be in time. */
const rounds = 3;
const cameras = [
  { device: 0, kind: "vmalloc", memory: "dmabuf" },
  { device: 1, kind: "dma-contig", memory: "mmap" },
] as const;

export const scenario: Scenario = {
  name: "zc-fd",
  title: "zero copy by descriptors, a camera's buffers made by a DMA heap or by its driver",
  seconds: 26,
  besideOthers: true,
  async run(lab) {
    const vivid = "vivid n_devs=2 node_types=0x1,0x1 allocators=0,1";
    const lender = await buildStatic(join(projectDir, "test/lab/programs/lender.c"));
    const guest = await lab.boot({ modules: [vivid], files: { "/bin/lender": lender } });
    for (const { device, kind, memory } of cameras) {
      await lab.check(
        `${frames} moving pictures of a ${kind} camera, in ${memory} buffers`,
        async () => {
          await setMoving(guest, device);
          const receiver = await startReceiver(guest, "-o received");
          const sender = await new Tool(guest, `${send} -d /dev/video${device} -n ${frames}`).end();
          const { status, stopped } = await receiver.end();
          wanted("exit status of the sender", sender.status, 0);
          wanted("exit status of the receiver", status, 0);
          wanted("buffers", sender.started.memory, memory);
          wanted("frames that came back", sender.stopped.returned, frames);
          wanted("frames received", stopped.frames, frames);
          checkMoving(join(guest.share, "received"), join(guest.share, "still"), frames);
        },
      );
      await lab.check(
        `either side killed, nothing of a ${kind} camera's buffers is left`,
        async () => {
          const receiver = await startReceiver(guest, "--keep");
          const killed = new Tool(guest, `${send} -d /dev/video${device}`);
          await receiver.moves(5);
          killed.kill("KILL");
          await killed.end();
          await guest.until(`test "$(${dmaBufs})" = 0`);
          const before = receiver.frames();
          const sender = new Tool(guest, `${send} -d /dev/video${device} --reconnect`);
          await receiver.moves(before + 5);
          receiver.kill("KILL");
          await receiver.end();
          const next = await startReceiver(guest, "");
          await next.moves(5);
          sender.kill("INT");
          wanted("exit status of the sender", (await sender.end()).status, 130);
          wanted("exit status of the receiver", (await next.end()).status, 0);
          wanted("dma-bufs in the kernel", Number(await guest.ok(dmaBufs)), 0);
        },
      );
    }
    await lab.check(
      `a receiver that was just started returns each frame of 1920x1080 in ${C_PATIENCE_MS} ms, in ${starts} starts`,
      async () => {
        let slowest = Number.POSITIVE_INFINITY;
        for (let round = 0; round < rounds && slowest >= C_PATIENCE_MS; round++)
          slowest = await slowestOf(guest);
        process.stdout.write(`  the slowest acknowledgement took ${slowest} ms\n`);
        return slowest < C_PATIENCE_MS;
      },
    );
  },
};

/** The milliseconds of the slowest acknowledgement in `starts` starts of a receiver. */
async function slowestOf(guest: Guest): Promise<number> {
  let slowest = 0;
  for (let start = 0; start < starts; start++) {
    const receiver = await startReceiver(guest, "");
    const taken = await guest.ok(`lender ${address.slice("unix:".length)} ${few}`);
    wanted("frames received", (await receiver.end()).stopped.frames, few);
    slowest = Math.max(slowest, ...taken.trim().split("\n").map(Number));
  }
  return slowest;
}

/** A shell command: how many dma-bufs the kernel has. */
const dmaBufs = "sed -n 's/^Total \\([0-9]*\\) objects.*/\\1/p' /sys/kernel/debug/dma_buf/bufinfo";

async function startReceiver(guest: Guest, more: string): Promise<Tool> {
  const receiver = new Tool(guest, `receiver_zc -l ${address} ${more}`);
  await receiver.says("listening on");
  return receiver;
}

// Programs that people use read a camera of v4l2loopback, and the kernel's own test of the node.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { madeNode, small } from "./loopback-node.ts";
import { inOrder, recorded } from "./recorded.ts";

const frames = 300;

/** Where ffmpeg's mathematics are, which Debian selects with links that an installation makes. */
const libraries = "/usr/lib/x86_64-linux-gnu";
const ffmpeg = `LD_LIBRARY_PATH=${libraries}/blas:${libraries}/lapack ffmpeg`;

/**
 * What reads `frames` frames of a node into $to. The driver overwrites a frame while a slow program reads it, so the file is in
 * the guest's memory.
 */
const readers: Readonly<Record<string, (node: string) => string>> = {
  "v4l2-ctl": (node) =>
    `v4l2-ctl -d ${node} --stream-mmap --stream-count=${frames} --stream-to=$to`,
  ffmpeg: (node) =>
    `${ffmpeg} -nostdin -v error -f v4l2 -i ${node} -frames:v ${frames} -fps_mode passthrough -f rawvideo -y $to`,
  "GStreamer's v4l2src": (node) =>
    `gst-launch-1.0 -q v4l2src device=${node} num-buffers=${frames} ! filesink location=$to`,
};

export async function checkApplications(lab: Lab, guest: Guest, name: string): Promise<void> {
  const receiver = await startReceiver(guest, `-l unix:/tmp/a --keep --camera "guest A"`, 400_000);
  const node = await madeNode(receiver);
  const unfed = await failuresOf(guest, node);
  const sender = new Tool(guest, `sender ${small.source} -r 30 -a unix:/tmp/a`, 400_000);
  await sender.moves(100);
  for (const [program, command] of Object.entries(readers)) {
    await lab.check(`${name}: ${program} reads ${frames} frames, none torn, in order`, async () => {
      await guest.ok(`to=/tmp/read; ${command(node)} >/dev/null; mv $to read`, {
        timeoutMs: 90_000,
      });
      const read = await recorded(guest, "read", small.bytes);
      wanted("frames", read.frames, frames);
      wanted("torn", read.torn, 0);
      wanted("frames that are not the sender's", read.others, 0);
      wanted("in order", inOrder(read.numbers), true);
    });
  }
  await lab.check(
    `${name}: v4l2-compliance finds nothing that a node with a card does not have`,
    async () => {
      const fed = await failuresOf(guest, node);
      wanted("failures", fed.filter((line) => !unfed.includes(line)).join("; "), "");
    },
  );
  await lab.check(`${name}: the sender's pictures had the right rate for readers`, async () => {
    const parm = await guest.ok(`v4l2-ctl -d ${node} --get-parm`);
    wanted("frames per second", /Frames per second: ([\d.]+)/.exec(parm)?.[1], "30.000");
  });
  sender.kill("TERM");
  receiver.kill("TERM");
  await receiver.end();
}

/** The lines of v4l2-compliance that say FAIL. */
async function failuresOf(guest: Guest, node: string): Promise<readonly string[]> {
  const { stdout } = await guest.run(`v4l2-compliance -d ${node}`, { timeoutMs: 60_000 });
  return stdout.split("\n").flatMap((line) => /^\s*(test .*): FAIL/.exec(line)?.[1] ?? []);
}

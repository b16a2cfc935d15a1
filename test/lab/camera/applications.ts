// Programs that people use read a camera of v4l2loopback, and the kernel's own test of the node.
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { small, withCamera } from "./loopback-node.ts";
import { inOrder, recorded } from "./recorded.ts";

const frames = 300;
/** The driver overwrites a frame while a program reads it late, and an emulated program is late. */
const fps = 15;

/** Where the mathematics of ffmpeg are: Debian selects them with links that an installation makes. */
const libraries = "/usr/lib/x86_64-linux-gnu";
export const ffmpeg = `LD_LIBRARY_PATH=${libraries}/blas:${libraries}/lapack ffmpeg`;

/** What reads `frames` frames of a node into $to. */
const readers: Readonly<Record<string, (node: string) => string>> = {
  "v4l2-ctl": (node) =>
    `v4l2-ctl -d ${node} --stream-mmap=8 --stream-count=${frames} --stream-to=$to`,
  ffmpeg: (node) =>
    `${ffmpeg} -nostdin -v error -f v4l2 -i ${node} -frames:v ${frames} -fps_mode passthrough -f rawvideo -y $to`,
  "GStreamer's v4l2src": (node) =>
    `gst-launch-1.0 -q v4l2src device=${node} num-buffers=${frames} ! filesink location=$to`,
};

/** Each program reads a camera of its own, because a driver lets one program stream; the receiver has all of them. */
export async function checkReaders(lab: Lab, guest: Guest, name: string): Promise<void> {
  const programs = Object.keys(readers);
  const more = programs.slice(1).map((_, i) => `--camera "guest A ${i}"`);
  await lab.check(`${name}: readers see the rate, and read at the same time`, () =>
    withCamera(guest, `--keep ${more.join(" ")}`, async ({ nodes, send }) => {
      wanted("cameras", new Set(nodes).size, programs.length);
      await send(`${small.source} -r ${fps}`).moves(3 * fps);
      // The receiver measures every second, and the first one may be slow.
      const told = `v4l2-ctl -d ${nodes[0]} --get-parm | grep -q 'per second: 1[2-8][.]'`;
      await guest.until(told, 15_000);
      await Promise.all(
        programs.map((program, i) =>
          lab.check(`${name}: ${program} reads ${frames} frames, none torn, in order`, () =>
            read(guest, readers[program]?.(nodes[i] ?? "") ?? "", `read${i}`),
          ),
        ),
      );
    }),
  );
}

async function read(guest: Guest, command: string, file: string): Promise<void> {
  // The file is in the guest's memory, because writing to the share is slow.
  await guest.ok(`to=/tmp/${file}; ${command} >/dev/null; mv $to ${file}`, { timeoutMs: 120_000 });
  const read = await recorded(guest, file, small.bytes);
  wanted("frames", read.frames, frames);
  wanted("torn", read.torn, 0);
  wanted("frames that are not the sender's", read.others, 0);
  wanted("in order", inOrder(read.numbers), true);
}

export async function checkCompliance(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(
    `${name}: v4l2-compliance finds nothing that a node with a card does not have`,
    () =>
      withCamera(guest, "--keep", async ({ node, send }) => {
        const unfed = await failuresOf(guest, node);
        await send(`${small.source} -r ${fps}`).moves(10);
        const fed = await failuresOf(guest, node);
        wanted("failures", fed.filter((line) => !unfed.includes(line)).join("; "), "");
      }),
  );
}

/** The lines of v4l2-compliance that say FAIL. */
async function failuresOf(guest: Guest, node: string): Promise<readonly string[]> {
  const { stdout } = await guest.run(`v4l2-compliance -d ${node}`, { timeoutMs: 60_000 });
  return stdout.split("\n").flatMap((line) => /^\s*(test .*): FAIL/.exec(line)?.[1] ?? []);
}

// Programs that people use read a camera of v4l2loopback, and the kernel's own test of the node.
import { basename } from "node:path";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { fixed, small, withCamera } from "./loopback-node.ts";
import { inOrder, recorded } from "./recorded.ts";

/** What each program must have of the sender, after some stand-by cards. */
const sent = 300;
const frames = 400;
const fps = 30;

/** Where the mathematics of ffmpeg are: Debian selects them with links that an installation makes. */
const libraries = "/usr/lib/x86_64-linux-gnu";
export const ffmpeg = `LD_LIBRARY_PATH=${libraries}/blas:${libraries}/lapack ffmpeg`;

/**
 * What reads `frames` frames of a node into $to. The sink of GStreamer returns each buffer at once: when an emulated machine is
 * late, the driver may put the newest frame into a buffer that is still held, and v4l2src ends.
 */
const readers: Readonly<Record<string, (node: string) => string>> = {
  "v4l2-ctl": (node) =>
    `v4l2-ctl -d ${node} --stream-mmap=8 --stream-count=${frames} --stream-to=$to`,
  ffmpeg: (node) =>
    `${ffmpeg} -nostdin -v error -f v4l2 -i ${node} -frames:v ${frames} -fps_mode passthrough -f rawvideo -y $to`,
  "GStreamer's v4l2src": (node) =>
    `gst-launch-1.0 -q v4l2src device=${node} num-buffers=${frames} ! filesink location=$to buffer-mode=unbuffered enable-last-sample=false`,
};

/**
 * Each program reads a camera of its own, because a driver lets one program stream; the receiver has all of them. The programs
 * start while the cameras stand by: the driver overwrites a frame that is read late, and an emulated program that is
 * starting is late.
 */
export async function checkReaders(lab: Lab, guest: Guest, name: string): Promise<void> {
  const programs = Object.keys(readers);
  const more = programs.slice(1).map((_, i) => `--camera "guest A ${i}"`);
  await lab.check(`${name}: readers see the rate, and read at the same time`, () =>
    withCamera(guest, `${fixed} ${more.join(" ")}`, async ({ nodes, send }) => {
      wanted("cameras", new Set(nodes).size, programs.length);
      const first = send(`${small.source} -r ${fps}`);
      // The receiver measures every second, and the first one may be slow.
      const told = `v4l2-ctl -d ${nodes[0]} --get-parm | grep -Eq 'per second: (2[4-9]|3[0-6])[.]'`;
      await guest.until(told, 15_000);
      first.kill("TERM");
      await first.end();
      const buffers = nodes.map((node) => `/sys/class/video4linux/${basename(node)}/buffers`);
      const before = await guest.ok(`cat ${buffers.join(" ")}`);
      const checks = programs.map((program, i) =>
        lab.check(`${name}: ${program} reads ${sent} frames, none torn, in order`, () =>
          read(guest, readers[program]?.(nodes[i] ?? "") ?? "", `read${i}`),
        ),
      );
      const reading = programs.map((_, i) => `test -s /tmp/read${i}`).join(" && ");
      await guest.until(reading, 60_000);
      send(`${small.source} -r ${fps}`);
      await Promise.all(checks);
      wanted(
        "buffers of the cameras afterwards",
        await guest.ok(`cat ${buffers.join(" ")}`),
        before,
      );
    }),
  );
}

/** Runs before everything else in the guest from its first frames on, so that it is not late. */
const inTime = (command: string, to: string) => `
to=${to}; rm -f $to
(until test -s $to; do sleep 0.05; done; echo -20 >/proc/self/autogroup) & raise=$!
${command}; status=$?
kill $raise 2>/dev/null; exit $status`;

async function read(guest: Guest, command: string, file: string): Promise<void> {
  // The file is in the guest's memory, because writing to the share is slow.
  const to = `/tmp/${file}`;
  const { status, stdout, stderr } = await guest.run(inTime(command, to), { timeoutMs: 120_000 });
  const words = `${stdout}\n${stderr}`.split("\n").filter((line) => /[a-z]/i.test(line));
  if (status !== 0) throw new Error(`status ${status}: ${words.join("; ").slice(0, 600)}`);
  await guest.ok(`mv ${to} ${file}`);
  const read = await recorded(guest, file, small.bytes);
  if (read.frames !== frames)
    throw new Error(`${read.frames} of ${frames} frames: ${words.join("; ").slice(0, 600)}`);
  wanted("torn", read.torn, 0);
  wanted("cards after the sender's first frame", read.others - (read.places[0] ?? 0), 0);
  wanted("in order", inOrder(read.numbers), true);
  if (read.numbers.length < sent) throw new Error(`${read.numbers.length} frames of the sender`);
}

export async function checkCompliance(lab: Lab, guest: Guest, name: string): Promise<void> {
  await lab.check(
    `${name}: v4l2-compliance finds nothing that a node with a card does not have`,
    () =>
      withCamera(guest, "--keep", async ({ node, send }) => {
        const unfed = await failuresOf(guest, node);
        await send(`${small.source} -r ${fps}`).moves(10);
        let found = await failuresOf(guest, node);
        // A frame that comes between REQBUFS and QUERYBUF has a sequence number, which is called a failure: in 3 of 40 runs.
        for (let again = 0; again < 3 && !isPart(found, unfed); again++) {
          const next = await failuresOf(guest, node);
          found = found.filter((line) => next.includes(line));
        }
        wanted("failures", found.filter((line) => !unfed.includes(line)).join("; "), "");
      }),
  );
}

const isPart = (some: readonly string[], all: readonly string[]) =>
  some.every((line) => all.includes(line));

/** The lines of v4l2-compliance that say FAIL. */
async function failuresOf(guest: Guest, node: string): Promise<readonly string[]> {
  const { stdout } = await guest.run(`v4l2-compliance -d ${node}`, { timeoutMs: 60_000 });
  return stdout.split("\n").flatMap((line) => /^\s*(test .*): FAIL/.exec(line)?.[1] ?? []);
}

// The zero-copy flow by virtio-media handles, on a real vb2 queue: the stand-in driver of test/lab/virtio-media plays
// both domains. It stamps its pictures, so what the receiver verifies are the pages the "camera" wrote.
import { join, resolve } from "node:path";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { buildModules, buildStatic } from "../modules.ts";

const source = resolve(import.meta.dir, "../virtio-media");
const parameters = "/sys/module/framepass_vmedia/parameters";
const port = 5000;
const receive = `framepass receiver_zc -l 127.0.0.1 -p ${port} --stats 0`;
const send = `framepass sender_zc -a 127.0.0.1 -p ${port} -D 7 --stats 0`;
const picture = "-W 320 -H 240 -r 60";
const seconds = (n: number) => ({ timeoutMs: n * 1000 });

/** A counter of the driver. */
const count = async (guest: Guest, name: string) =>
  Number(await guest.ok(`cat ${parameters}/${name}`));
const listening = (guest: Guest) => guest.until(`netstat -ltn | grep -q ':${port} '`);

/** Frames from the camera to a receiver that checks them. */
async function stream(guest: Guest, frames: number, more = ""): Promise<string> {
  const receiver = guest.start(`${receive} --verify`, seconds(60));
  await listening(guest);
  await guest.ok(`${send} ${picture} -n ${frames} ${more} 2>sender.log`, seconds(60));
  const { status, stderr } = await receiver.result;
  if (status !== 0) throw new Error(`receiver_zc: ${status}: ${stderr.trim().split("\n").at(-1)}`);
  return stderr;
}

async function revision(lab: Lab, guest: Guest, references: number): Promise<void> {
  await lab.check(
    `${references} references: 300 frames read in place, every one right`,
    async () => {
      const said = await stream(guest, 300);
      const sender = await Bun.file(join(guest.share, "sender.log")).text();
      return (
        said.includes("verified 300 frames") &&
        sender.includes(`virtio-media (${references} references)`)
      );
    },
  );
  await lab.check(`${references} references: every handle was released`, async () => {
    const left = [await count(guest, "exports"), await count(guest, "dropped")];
    return left.every((n) => n === 0);
  });
}

const errnos = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  ENODEV: 19,
  EINVAL: 22,
  ENOSPC: 28,
};
const calls = { export: "EXPORT_BUFFER", import: "IMPORT_BUFFER" } as const;

/** The sender with one ioctl failing: a line that names it, exit status 3, nothing exported any more. */
async function failing(guest: Guest): Promise<void> {
  for (const [call, name] of Object.entries(calls)) {
    for (const [code, number] of Object.entries(errnos)) {
      await guest.ok(`echo ${number} >${parameters}/fail_${call}`);
      const { status, stderr } = await guest.run(`${send} -n 1`, seconds(20));
      await guest.ok(`echo 0 >${parameters}/fail_${call}`);
      const last = stderr.trim().split("\n").at(-1) ?? "";
      const told = last.includes(`VIDIOC_VIRTIO_MEDIA_${name} /dev/video0: ${code} `);
      const left = [await count(guest, "exports"), await count(guest, "dropped")];
      if (status === 3 && told && left.every((n) => n === 0)) continue;
      throw new Error(`${name} with ${code}: status ${status}, ${left} left, "${last}"`);
    }
  }
}

/** The receiver with IMPORT failing, and the sender that meets it. */
async function failingReceiver(guest: Guest): Promise<void> {
  const before = await count(guest, "dropped");
  for (const [code, number] of Object.entries(errnos)) {
    await guest.ok(`echo ${number} >${parameters}/fail_take`);
    const receiver = guest.start(receive, seconds(30));
    await listening(guest);
    const sender = await guest.run(`${send} ${picture}`, seconds(30));
    const { status, stderr } = await receiver.result;
    await guest.ok(`echo 0 >${parameters}/fail_take`);
    const told = stderr.includes(`VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER /dev/video0: ${code} `);
    const left = [await count(guest, "exports"), (await count(guest, "dropped")) - before];
    if (status === 3 && told && sender.status === 1 && left.every((n) => n === 0)) continue;
    throw new Error(
      `${code}: receiver ${status}, sender ${sender.status}, ${left} left: ${stderr}`,
    );
  }
}

export const scenario: Scenario = {
  name: "zc-virtio-media",
  title: "zero copy by virtio-media handles, both revisions, and every ioctl failing",
  seconds: 105,
  limitMs: 400_000,
  besideOthers: true,
  async run(lab) {
    const modules = await buildModules(source);
    const ko = modules.get("framepass_vmedia");
    if (ko === undefined) throw new Error("the stand-in driver was not built");
    const guest = await lab.boot({
      modules: [`${ko} references=4000`],
      files: { "/bin/owner": await buildStatic(join(source, "owner.c")) },
    });
    await lab.check(
      "the driver answers IMPORT with the bytes of its pages and a dma-buf that may be written",
      async () => (await guest.ok("owner")) === `6 4096 ${6 * 4096} ${6 * 4096}\n`,
    );
    await revision(lab, guest, 4000);
    await lab.check("a picture of too many pages is refused before streaming, exit 3", async () => {
      const { status, stderr } = await guest.run(`${send} -W 3840 -H 2160 -b 2`, seconds(30));
      const told = "needs 4050 grant references, virtio-media carries 4000";
      return status === 3 && stderr.includes(told) && (await count(guest, "exports")) === 0;
    });
    await lab.check("another page size is refused before streaming, exit 3", async () => {
      await guest.ok(`echo 65536 >${parameters}/page_size`);
      const { status, stderr } = await guest.run(`${send} -n 1`, seconds(20));
      await guest.ok(`echo 0 >${parameters}/page_size`);
      return status === 3 && stderr.includes("pages of 65536 bytes, this host has pages of 4096");
    });
    await lab.check(
      "EXPORT and IMPORT failing with each errno: one line, exit 3, no handle left",
      () => failing(guest),
    );
    await lab.check("RELEASE failing is said, and the stream before it was whole", async () => {
      await guest.ok(`echo 5 >${parameters}/fail_release`);
      const said = await stream(guest, 30);
      await guest.ok(`echo 0 >${parameters}/fail_release`);
      const sender = await Bun.file(join(guest.share, "sender.log")).text();
      return said.includes("verified 30 frames") && sender.includes("RELEASE_HANDLE /dev/video0");
    });
    await lab.check("IMPORT failing at the receiver with each errno: one line, exit 3", () =>
      failingReceiver(guest),
    );
    await lab.check(
      "kill -9 of the receiver: the sender goes on with the next one in 2 s",
      async () => {
        const sender = guest.start(`${send} ${picture} --reconnect`, seconds(60));
        const killed = guest.start(receive, seconds(60));
        await guest.until("netstat -tn | grep -q ':5000.*ESTABLISHED'", 20_000);
        killed.kill("KILL");
        await killed.result;
        const next = guest.start(`${receive} --verify -n 30`, seconds(60));
        const { status, stderr } = await next.result;
        sender.kill("INT");
        await sender.result;
        return status === 0 && stderr.includes("verified 30 frames");
      },
    );
    await lab.check(
      "kill -9 of the sender: the receiver lets go and takes the next one",
      async () => {
        const receiver = guest.start(`${receive} --verify --keep -n 60`, seconds(60));
        await listening(guest);
        const killed = guest.start(`${send} ${picture}`, seconds(60));
        await guest.until("netstat -tn | grep -q ':5000.*ESTABLISHED'", 20_000);
        killed.kill("KILL");
        await killed.result;
        const next = guest.start(`${send} ${picture}`, seconds(60));
        const { status } = await receiver.result;
        await next.result;
        return status === 0 && (await count(guest, "exports")) === 0;
      },
    );
    await guest.ok(`rmmod framepass_vmedia && insmod /modules/framepass_vmedia.ko references=512`);
    await revision(lab, guest, 512);
    await lab.check("1920x1080 needs more than 512 references and is refused, exit 3", async () => {
      const { status, stderr } = await guest.run(`${send} -W 1920 -H 1080`, seconds(20));
      return (
        status === 3 && stderr.includes("needs 1013 grant references, virtio-media carries 512")
      );
    });
  },
};

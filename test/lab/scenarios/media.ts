// vhost-user-media as a guest's camera, behind a real monitor: QEMU 11.1, a driver of our own in the guest, and a program that checks
// every picture. Streams in both kinds of memory, and everything that can end in the middle of one.
//
// Not done here: a reset of the machine in the middle of a stream from mapped buffers. QEMU 11.1.3 ends by SIGSEGV when its device
// is reset while a buffer is mapped, whatever the back-end does: docs/virtio-media.md.
import { join } from "node:path";
import { projectDir } from "../../../scripts/ensure.ts";
import { currentQemu } from "../current-qemu.ts";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { bootWithCamera, cameraInfo, mediaPrograms, stream, streaming } from "../media-guest.ts";
import { Scratch } from "../scratch.ts";
import { VideoDaemon } from "../video-daemon.ts";
import { wanted } from "../wanted.ts";

const MIB = 1 << 20;
/** With room for a few programs' buffers: what is not given back is missed soon. */
const MEMORY = "64M";
const KILLS = 100;
/** Longer than a driver waits for an answer. */
const STOPPED_MS = 6000;

export const scenario: Scenario = {
  name: "media",
  title:
    "QEMU 11.1 with a camera of vhost-user-media: streams, kills, a daemon that stands still, two guests",
  seconds: 76,
  limitMs: 300_000,
  besideOthers: true,
  async run(lab) {
    const [qemu, programs] = await Promise.all([currentQemu(), mediaPrograms()]);
    using scratch = new Scratch();
    const tool = join(projectDir, "dist/vhost-user-media");
    const serve = (name: string, memory: string) =>
      VideoDaemon.start(tool, join(scratch.path, name), [
        ...["-d", "testsrc", "--card", `card of ${name}`, "--memory", memory],
      ]);
    await using mapping = await serve("one", MEMORY);
    await using without = await serve("two", "0");
    const idle = mapping.descriptors();
    const boot = (name: string) =>
      bootWithCamera(lab, { ...programs, qemu, socket: join(scratch.path, name), name });
    const [first, second] = await Promise.all([boot("one"), boot("two")]);
    await Promise.all([mapped(lab, first, mapping), ownMemory(lab, second, without)]);
    await lab.check("two guests stream at the same time", async () => {
      const [one, two] = await Promise.all([stream(first, 100), stream(second, 100, "-m userptr")]);
      return one.stamped === 100 && two.stamped === 100;
    });
    await lab.check("kill -9 of QEMU in mid-stream: the daemon lets go of everything", async () => {
      await streaming(first, 3000);
      await first[Symbol.asyncDispose](); // SIGKILL
      await mapping.until(() => mapping.descriptors() === idle);
    });
    await lab.check("and serves the next QEMU", async () => {
      const third = await boot("one");
      const { stamped } = await stream(third, 30);
      await third[Symbol.asyncDispose]();
      return stamped === 30;
    });
    await lab.check("SIGTERM ends the daemon within 300 ms, with 0 and no complaint", async () => {
      await mapping.until(() => mapping.descriptors() === idle);
      const { status, ms, stopped, said } = await mapping.end();
      if (status !== 0 || ms > 300) throw new Error(`status ${status} after ${ms} ms`);
      if (/defect|malformed chain|connection was closed/.test(said)) throw new Error(said);
      return stopped.front_ends === 2 && stopped.malformed === 0;
    });
  },
};

/** Buffers of the device, which the guest maps. */
async function mapped(lab: Lab, guest: Guest, daemon: VideoDaemon): Promise<void> {
  await lab.check("the driver binds: card, region and formats are there", async () => {
    const { card, region, formats } = await cameraInfo(guest);
    wanted("card", card, "card of one");
    wanted("region", Number(region), 64 * MIB);
    wanted("formats", formats, "YUYV,NV12,YU12");
  });
  await lab.check("300 pictures of 640x480, each whole and new", async () => {
    return (await stream(guest, 300)).stamped === 300;
  });
  await lab.check("100 pictures of 1920x1080 YUYV", async () => {
    const { stamped, gaps } = await stream(guest, 100, "-s 1920x1080");
    wanted("pictures", stamped, 100);
    return { measured: `the emulated guest was too slow for ${gaps}` };
  });
  await lab.check("NV12 and YU12 as well", async () => {
    for (const format of ["NV12", "YU12"]) {
      wanted(format, (await stream(guest, 30, `-f ${format}`)).stamped, 30);
    }
  });
  await lab.check("a child that inherited the mappings ends, and its parent goes on", async () => {
    return (await stream(guest, 60, "-c")).stamped === 60;
  });
  await lab.check(
    `${KILLS} programs are killed in mid-stream, and all memory is there for the next`,
    async () => {
      const one =
        "media-camera stream -n 10000 -p /tmp/progress & until test -s /tmp/progress; do sleep 0.02; done";
      await guest.ok(
        `for i in $(seq ${KILLS}); do rm -f /tmp/progress; ${one}; kill -9 $!; wait $! 2>/dev/null; done; true`,
        { timeoutMs: 120_000 },
      );
      const { stamped } = await stream(guest, 10, "-s 1920x1080 -b 14"); // 56 of 64 MiB
      return stamped === 10;
    },
  );
  await lab.check("the machine is stopped and resumed ten times in mid-stream", async () => {
    const running = await streaming(guest, 200);
    for (let i = 0; i < 10; i++) {
      await guest.qmp("stop");
      await Bun.sleep(100);
      await guest.qmp("cont");
      await Bun.sleep(50);
    }
    return (await running.ended).stamped === 200;
  });
  await lab.check(
    "a daemon that stands still for 6 s gives no answer too late, and then goes on",
    async () => {
      const pid = daemon.frontEnd();
      process.kill(pid, "SIGSTOP");
      const asks = guest.run("media-camera info; true", { timeoutMs: 30_000 });
      await Bun.sleep(STOPPED_MS);
      process.kill(pid, "SIGCONT");
      await asks;
      wanted("pictures after that", (await stream(guest, 30)).stamped, 30);
      const { late, timeouts } = await cameraInfo(guest);
      wanted("answers too late", late, "0");
      return Number(timeouts) > 0;
    },
  );
  await lab.check("the machine is rebooted, and the camera is there again", async () => {
    await guest.reset();
    return (await stream(guest, 60)).stamped === 60;
  });
}

/** Buffers in the guest's own memory: the monitor has no region. */
async function ownMemory(lab: Lab, guest: Guest, daemon: VideoDaemon): Promise<void> {
  await lab.check("without a region: 100 pictures into memory of the guest", async () => {
    wanted("region", (await cameraInfo(guest)).region, "0");
    return (await stream(guest, 100, "-m userptr")).stamped === 100;
  });
  await lab.check(
    "without a region: reset in mid-stream, and the next driver streams",
    async () => {
      const held = daemon.descriptors();
      await streaming(guest, 3000, "-m userptr");
      await guest.reset();
      wanted("pictures", (await stream(guest, 60, "-m userptr")).stamped, 60);
      await daemon.until(() => daemon.descriptors() <= held);
    },
  );
}

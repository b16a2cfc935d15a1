// A real monitor: QEMU 11.1 in front of vhost-user-video on the host, and in its guest a driver that decodes with the null
// codec and checks every byte: pauses, reboots and a monitor that is killed in the middle.

import { join } from "node:path";
import { projectDir } from "../../../scripts/ensure.ts";
import { currentQemu } from "../current-qemu.ts";
import {
  bootDecoding,
  count,
  decode,
  decoderDriver,
  inMiddle,
  middle,
  survivesPauses,
} from "../decoding-guest.ts";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { Scratch } from "../scratch.ts";
import { VideoDaemon } from "../video-daemon.ts";

/** Frames of a long decode. */
const MANY = 400;

export const scenario: Scenario = {
  name: "vhost-user-video",
  title: "QEMU 11.1 with a driver that decodes: pause, reboot, kill -9 in the middle",
  seconds: 40,
  limitMs: 300_000,
  besideOthers: true,
  async run(lab) {
    const [qemu, ko] = await Promise.all([currentQemu(), decoderDriver()]);
    using scratch = new Scratch();
    const socket = join(scratch.path, "video.sock");
    await using daemon = await VideoDaemon.start(join(projectDir, "dist/vhost-user-video"), socket);
    const idle = daemon.descriptors();
    const boot = () => bootDecoding(lab, { qemu, ko, socket });
    const first = await boot();
    await firstGuest(lab, first, daemon);
    await lab.check("kill -9 of QEMU in mid-decode: the daemon lets go of everything", async () => {
      await middle(first, MANY);
      await inMiddle(first, MANY);
      await first[Symbol.asyncDispose](); // SIGKILL
      await daemon.until(() => daemon.descriptors() === idle);
    });
    await lab.check("and serves the next QEMU", async () => {
      const second = await boot();
      await decode(second, 100);
      const decoded = await count(second, "decoded");
      await second[Symbol.asyncDispose]();
      return decoded === 100;
    });
    await lab.check("SIGTERM ends the daemon within 300 ms, with 0 and no complaint", async () => {
      await daemon.until(() => daemon.descriptors() === idle);
      const { status, ms, stopped, said } = await daemon.end();
      if (status !== 0 || ms > 300) throw new Error(`status ${status} after ${ms} ms`);
      if (/defect|malformed chain|connection was closed/.test(said)) throw new Error(said);
      return stopped.front_ends === 2 && stopped.malformed === 0;
    });
  },
};

async function firstGuest(lab: Lab, guest: Guest, daemon: VideoDaemon): Promise<void> {
  await lab.check("the driver binds: features and config space are there", async () => {
    const features = await count(guest, "features");
    const length = await count(guest, "max_caps_length");
    if (length !== 4096) throw new Error(`max_caps_length ${length}`);
    return (features & 0x3000_0003) === 0x3000_0003; // GUEST_PAGES, NON_CONTIG, INDIRECT, EVENT_IDX
  });
  await lab.check(
    "QUERY_CAPABILITY and 60 frames: every picture, its time and the EOS",
    async () => {
      await decode(guest, 60);
      return (await count(guest, "decoded")) === 60 && (await count(guest, "changes")) === 1;
    },
  );
  await lab.check("ten decodes after another", async () => {
    for (let i = 0; i < 10; i++) await decode(guest, 20);
  });
  await lab.check("pause and resume, ten times in mid-decode: not a picture is lost", () =>
    survivesPauses(guest, MANY),
  );
  await lab.check("reboot in mid-decode: the driver binds again and decodes", async () => {
    const held = daemon.descriptors();
    await middle(guest, MANY);
    await inMiddle(guest, MANY);
    await guest.reset();
    await decode(guest, 60);
    if (daemon.descriptors() !== held) throw new Error(`${daemon.descriptors()} for ${held}`);
    return (await count(guest, "decoded")) === 60;
  });
}

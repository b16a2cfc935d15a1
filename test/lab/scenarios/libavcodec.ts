// A guest on a host without a decoder: QEMU 11.1 in front of vhost-user-video, which decodes with libavcodec. The guest's driver
// compares every byte of every picture with what ffmpeg decodes.
import { join } from "node:path";
import { ensureDebian, projectDir } from "../../../scripts/ensure.ts";
import { Clips } from "../../support/clips.ts";
import { clipBlob } from "../clip-blob.ts";
import { currentQemu } from "../current-qemu.ts";
import {
  bootDecoding,
  count,
  decode,
  decoderDriver,
  inMiddle,
  middle,
  setClip,
  survivesPauses,
} from "../decoding-guest.ts";
import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";
import { Scratch } from "../scratch.ts";
import { VideoDaemon } from "../video-daemon.ts";

const FRAMES = 300;
const clipNames = { h264: "H.264 baseline", vp9: "VP9" } as const;
const LATE_MS = 10_000;

export const scenario: Scenario = {
  name: "libavcodec",
  title: "H.264 and VP9 of a guest, decoded by libavcodec on the host: pause, reboot, kill -9",
  seconds: 28,
  limitMs: 400_000,
  async run(lab) {
    ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
    const [qemu, ko] = await Promise.all([currentQemu(), decoderDriver()]);
    const clips = new Clips();
    const blobs = Object.entries(clipNames).map(
      ([file, name]) => [file, clipBlob(clips, name)] as const,
    );
    using scratch = new Scratch();
    const socket = join(scratch.path, "video.sock");
    const tool = join(projectDir, "dist/vhost-user-video");
    await using daemon = await VideoDaemon.start(tool, socket, "libavcodec");
    const idle = daemon.descriptors();
    const boot = async (): Promise<Guest> => {
      const guest = await bootDecoding(lab, { qemu, ko, socket });
      for (const [file, blob] of blobs) await Bun.write(join(guest.share, file), blob);
      return guest;
    };
    const guest = await boot();
    const play = async (of: Guest, file: keyof typeof clipNames) => {
      await setClip(of, file);
      await decode(of, FRAMES);
      return (await count(of, "decoded")) === FRAMES;
    };
    await lab.check("300 frames of H.264: every byte, time and the EOS", () => play(guest, "h264"));
    await lab.check("300 frames of VP9: every byte, time and the EOS", () => play(guest, "vp9"));
    await lab.check("pause and resume, ten times in mid-decode: not a picture is lost", () =>
      survivesPauses(guest, FRAMES),
    );
    await lab.check("reboot in mid-decode: the driver binds again and decodes", async () => {
      await middle(guest, FRAMES);
      await inMiddle(guest, FRAMES);
      await guest.reset();
      await daemon.until(() => daemon.decoders() === 0, LATE_MS);
      return await play(guest, "h264");
    });
    await lab.check(
      "kill -9 of QEMU in mid-decode: no process and no descriptor stays",
      async () => {
        await middle(guest, FRAMES);
        await inMiddle(guest, FRAMES);
        await guest[Symbol.asyncDispose](); // SIGKILL
        await daemon.until(() => daemon.descriptors() === idle, LATE_MS);
      },
    );
    await lab.check("and the next QEMU decodes", async () => {
      const second = await boot();
      const whole = await play(second, "h264");
      await second[Symbol.asyncDispose]();
      return whole;
    });
    await lab.check("SIGTERM ends the daemon with 0 and no complaint", async () => {
      await daemon.until(() => daemon.descriptors() === idle, LATE_MS);
      const { status, said, stopped } = await daemon.end();
      if (status !== 0) throw new Error(`status ${status}`);
      if (/defect|malformed chain|connection was closed/.test(said)) throw new Error(said);
      return stopped.front_ends === 2 && stopped.malformed === 0;
    });
  },
};

// A real V4L2 stateful decoder, the kernel's vicodec, behind the virtio-video device: the output must be, byte for
// byte, what v4l2-ctl gets from the same decoder. The compiled executable serves, the tests' front-end drives it.
import { compareWithV4l2Ctl, listedDevices } from "../devices.ts";
import type { Lab, Scenario } from "../lab.ts";
import { type Clip, good, type StreamWish, timesOf, Vicodec } from "../vicodec.ts";
import { wanted } from "../wanted.ts";

const long: Clip = { width: 640, height: 368, frames: 300 };
const short: Clip = { width: 640, height: 368, frames: 30 };
const large: Clip = { width: 800, height: 608, frames: 20 };
const clips = { long, short, large };
const NV12 = 3;
const YU12 = 4;

export const scenario: Scenario = {
  name: "vicodec",
  title: "FWHT clips decoded through virtio-video equal v4l2-ctl's output",
  seconds: 240,
  limitMs: 400_000,
  besideOthers: true,
  async run(lab) {
    const made = new Map<string, Uint8Array>();
    await decode(lab, false, made);
    await decode(lab, true, made);
  },
};

async function decode(
  lab: Lab,
  multiplanar: boolean,
  made: Map<string, Uint8Array>,
): Promise<void> {
  const api = multiplanar ? "multi-planar" : "single-planar";
  await using codec = await Vicodec.boot(lab, api, multiplanar);
  const { guest } = codec;
  const check = (sentence: string, body: () => unknown) => lab.check(`${api}: ${sentence}`, body);
  const { width, height } = short;
  const usual = { format: YU12, width, height, chunk: "buffer", pieces: 1, mode: "drain" } as const;
  const wish = (name: string, more: Partial<StreamWish> = {}): StreamWish => ({
    ...usual,
    clip: `/tmp/${name}.fwht`,
    out: "/tmp/out",
    ...more,
  });
  /** True when the output is the references one after the other. */
  const same = (references: string, out = "out") =>
    guest.ok(`cd /tmp; cat ${references} | /usr/bin/cmp - ${out}`);

  await check("framepass devices says what each node does, as v4l2-ctl sees it", async () => {
    const kinds = new Map<string, string>();
    for (const device of await listedDevices(guest)) {
      await compareWithV4l2Ctl(guest, device);
      kinds.set(device.kinds.join(), device.node);
      wanted("API", device.api.join(), api);
    }
    wanted("kinds", [...kinds.keys()].sort().join(), "decoder,encoder,stateless decoder");
    wanted("encoder", kinds.get("encoder"), codec.encoder);
    wanted("decoder", kinds.get("decoder"), codec.decoder);
    const [named] = await listedDevices(guest, `-d ${codec.decoder}`);
    const line = `vhost-user-video -s /run/video.sock -b v4l2-decoder -d ${codec.decoder}`;
    wanted("line", named?.use, line);
  });
  await check("v4l2-ctl decodes the clips, for comparison", async () => {
    for (const [name, clip] of Object.entries(clips)) {
      await codec.encode(name, clip, made);
      await codec.reference(name, clip, `${name}.ref`);
    }
    await codec.reference("short", short, "nv12.ref", "NV12");
  });
  const server = await codec.serve("--log-level debug");
  const player = codec.player();

  await check("frames cut anywhere come out without a drain", async () => {
    const played = await player.play(wish("short", { mode: "plain", chunk: 10_007 }));
    good(played, { frames: 30, eos: 0 });
    await same("short.ref");
  });
  await check("buffers of 100 pieces that begin inside pages", async () => {
    good(await player.play(wish("short", { pieces: 100, skew: 64 })), { frames: 30 });
    await same("short.ref");
  });
  await check("drain, then all of it again without a word", async () => {
    const played = await player.play(wish("short", { mode: "resume" }));
    good(played, { frames: 60, eos: 2, changes: 1 });
    await same("short.ref short.ref");
  });
  await check("seek, then all of it from the beginning", async () => {
    const played = await player.play(wish("short", { chunk: "frame", mode: "seek" }));
    timesOf(good(played, { frames: 30, eos: 1 }));
    await guest.ok("tail -c $(stat -c %s /tmp/short.ref) /tmp/out | /usr/bin/cmp - /tmp/short.ref");
  });
  await check("other resolutions in mid-stream, with a drain pending", async () => {
    await guest.ok("cd /tmp; cat short.fwht large.fwht short.fwht >mixed.fwht");
    const size = { width: large.width, height: large.height };
    good(await player.play(wish("mixed", size)), { frames: 80, changes: 3, eos: 3 });
    await same("short.ref large.ref short.ref");
  });
  await check("four streams at once, NV12 and YU12", async () => {
    const four = [YU12, NV12, YU12, NV12].map((format, i) =>
      wish("short", { format, out: `/tmp/out${i}` }),
    );
    const played = await player.play(...four);
    wanted("streams", played.length, 4);
    for (const [i, one] of played.entries()) {
      good([one], { frames: 30, eos: 1 });
      await same(i % 2 === 0 ? "short.ref" : "nv12.ref", `out${i}`);
    }
  });
  await check("300 frames are byte-identical, their times equal to the nanosecond", async () => {
    const played = await player.play(wish("long", { chunk: "frame" }));
    timesOf(good(played, { frames: 300, eos: 1, changes: 1 }));
    await same("long.ref");
  });
  await check("paused ten times, with copies: byte-identical, each picture once", async () => {
    const played = await player.play(
      wish("long", { chunk: "frame", pieces: 100, skew: 64, pauses: 10 }),
    );
    timesOf(good(played, { frames: 300, eos: 1, changes: 1 }));
    await same("long.ref");
  });
  // The bytes differ until the next key frame: vicodec forgets its reference picture.
  await check("paused ten times, on guest memory: each picture once", async () => {
    const played = await player.play(wish("long", { chunk: "frame", pauses: 10 }));
    timesOf(good(played, { frames: 300, eos: 1, changes: 1 }));
  });
  await check("the counters say which buffers were copied", async () => {
    await player.end();
    server.kill("TERM");
    const { status, stderr } = await server.result;
    wanted("status", status, 0);
    const counts = [...stderr.matchAll(/(\d+) pictures, (\d+) copied; (\d+) .*, (\d+) copied/g)];
    wanted("streams", counts.length, 12);
    for (const [i, [line, pictures, copied, , gathered]] of counts.entries()) {
      const apart = i === 1 || i === 10;
      if (apart ? copied !== pictures : copied !== "0" || gathered !== "0")
        throw new Error(`stream ${i + 1}: ${line}`);
    }
  });
  await check("nothing of the decoder is left open", () => guest.ok("rmmod vicodec"));
}

// A real V4L2 stateful decoder, the kernel's vicodec, behind the virtio-video device: what comes out must be, byte for
// byte, what v4l2-ctl gets from the same decoder. The compiled executable serves; a front-end of the tests' drives it.
import { timeOf } from "../../support/clip-player.ts";
import type { Lab, Scenario } from "../lab.ts";
import { type Clip, type Played, Vicodec } from "../vicodec.ts";
import { wanted } from "../wanted.ts";

const long: Clip = { width: 640, height: 368, frames: 300 };
const short: Clip = { width: 640, height: 368, frames: 30 };
const large: Clip = { width: 800, height: 608, frames: 20 };
const clips = { long, short, large };
const NV12 = 3;

export const scenario: Scenario = {
  name: "vicodec",
  limitMs: 280_000,
  title: "FWHT clips decoded through virtio-video equal v4l2-ctl's output",
  async run(lab) {
    await decode(lab, false);
    await decode(lab, true);
  },
};

/** One stream that ended well, with so many pictures. */
function good(played: readonly Played[], fields: Partial<Played>): Played {
  const [first] = played;
  if (first === undefined) throw new Error("nothing was played");
  for (const [name, value] of Object.entries({ errors: 0, ...fields }))
    wanted(name, first[name as keyof Played], value);
  return first;
}

async function decode(lab: Lab, multiplanar: boolean): Promise<void> {
  const api = multiplanar ? "multi-planar" : "single-planar";
  const codec = await Vicodec.boot(lab, api, multiplanar);
  const { guest } = codec;
  const check = (sentence: string, body: () => unknown) => lab.check(`${api}: ${sentence}`, body);
  const same = (reference: string, out = "out") =>
    guest.ok(`cmp ${reference.replaceAll(/\w+\.ref/g, "/tmp/$&")} /tmp/${out}`);
  const play = (options: string) => codec.play(`--out /tmp/out ${options}`);
  const width = `--width ${long.width} --height ${long.height}`;

  await check("v4l2-ctl makes the clips and what is wanted of them", async () => {
    for (const [name, clip] of Object.entries(clips)) {
      await codec.encode(name, clip);
      await codec.reference(name, clip, `${name}.ref`);
    }
    await codec.reference("short", short, "nv12.ref", "NV12");
  });
  const server = await codec.serve("--log-level debug");

  await check("300 frames are byte-identical, cut anywhere, without a drain", async () => {
    const played = await play(`--clip /tmp/long.fwht ${width}`);
    good(played, { frames: 300, changes: 1 });
    await same("long.ref");
  });
  await check("timestamps are those of the bitstream, to the nanosecond", async () => {
    const played = await play(`--clip /tmp/long.fwht --chunk frame --mode drain ${width}`);
    const { times } = good(played, { frames: 300, eos: 1 });
    for (const [i, time] of times.entries()) wanted(`time ${i}`, time, String(timeOf(i)));
    await same("long.ref");
  });
  await check("buffers of 100 scattered pieces", async () => {
    const options = `--clip /tmp/short.fwht --pieces 100 --mode drain ${width}`;
    good(await play(options), { frames: 30 });
    await same("short.ref");
  });
  await check("bitstream in pieces of 1000 bytes", async () => {
    const options = `--clip /tmp/short.fwht --chunk 1000 --mode drain ${width}`;
    good(await play(options), { frames: 30 });
    await same("short.ref");
  });
  await check("drain, then all of it again without a word", async () => {
    const options = `--clip /tmp/short.fwht --mode resume ${width}`;
    good(await play(options), { frames: 60, eos: 2, changes: 1 });
    await guest.ok("cat /tmp/short.ref /tmp/short.ref | cmp - /tmp/out");
  });
  await check("seek, then all of it from the beginning", async () => {
    const options = `--clip /tmp/short.fwht --chunk frame --mode seek ${width}`;
    const { times } = good(await play(options), { frames: 30 });
    for (const [i, time] of times.entries()) wanted(`time ${i}`, time, String(timeOf(i)));
    await guest.ok("tail -c $(stat -c %s /tmp/short.ref) /tmp/out | cmp - /tmp/short.ref");
  });
  await check("another resolution in mid-stream, and back, with a drain pending", async () => {
    await guest.ok("cat /tmp/short.fwht /tmp/large.fwht /tmp/short.fwht >/tmp/mixed.fwht");
    const options = "--clip /tmp/mixed.fwht --mode drain --width 800 --height 608";
    good(await play(options), { frames: 80, changes: 3, eos: 3 });
    await guest.ok("cat /tmp/short.ref /tmp/large.ref /tmp/short.ref | cmp - /tmp/out");
  });
  await check("four streams at once", async () => {
    const four = [1, 2, 3, 4].map((i) => `--clip /tmp/short.fwht --out /tmp/out${i}`);
    const played = await codec.play(`${four.join(" ")} --mode drain ${width}`);
    wanted("streams", played.length, 4);
    for (const [i, one] of played.entries()) {
      good([one], { frames: 30, eos: 1 });
      await same("short.ref", `out${i + 1}`);
    }
  });
  await check("NV12, and YU12 after it", async () => {
    good(await play(`--clip /tmp/short.fwht --format ${NV12} --mode drain ${width}`), {
      frames: 30,
    });
    await same("nv12.ref");
    good(await play(`--clip /tmp/short.fwht --mode drain ${width}`), { frames: 30 });
    await same("short.ref");
  });
  await check("the back-end ends on SIGTERM, and nothing of the decoder is left", async () => {
    server.kill("TERM");
    const { status, stderr } = await server.result;
    wanted("status", status, 0);
    await guest.ok(`rmmod vicodec`);
    process.stdout.write(stderr.split("\n").slice(0, 400).join("\n"));
  });
}

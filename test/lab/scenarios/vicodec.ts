// A real V4L2 stateful decoder, the kernel's vicodec, behind the virtio-video device: what comes out must be, byte for
// byte, what v4l2-ctl gets from the same decoder.

import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, projectDir } from "../../../scripts/ensure.ts";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { vicodecModules } from "../modules.ts";

const NV12 = 3;
const YU12 = 4;
const clips = [
  { name: "long", width: 640, height: 480, frames: 300 },
  { name: "short", width: 640, height: 480, frames: 30 },
  { name: "large", width: 1280, height: 720, frames: 20 },
] as const;

interface Played {
  readonly frames: number;
  readonly errors: number;
  readonly eos: number;
  readonly changes: number;
  readonly fps: number;
  readonly times: readonly string[];
}

export const scenario: Scenario = {
  name: "vicodec",
  title: "FWHT clips decoded through virtio-video equal v4l2-ctl's output",
  limitMs: 400_000,
  async run(lab) {
    const player = await buildPlayer();
    for (const multiplanar of [0, 1]) await decode(lab, multiplanar, player);
  },
};

/** The player as an executable, newer than every source; answers its path. */
async function buildPlayer(): Promise<string> {
  const path = join(cacheDir(), "lab", `video-player-${process.pid}`);
  mkdirSync(join(cacheDir(), "lab"), { recursive: true });
  const source = join(projectDir, "test/lab/programs/video-player.ts");
  const build = Bun.spawnSync(
    [process.execPath, "build", source, "--compile", `--outfile=${path}`],
    { cwd: projectDir, stdin: "ignore", timeout: 120_000 },
  );
  if (build.exitCode !== 0) throw new Error(`building the player: ${build.stderr.toString()}`);
  process.on("exit", () => Bun.spawnSync(["rm", "-f", path]));
  return path;
}

async function decode(lab: Lab, multiplanar: number, player: string): Promise<void> {
  const api = multiplanar ? "multi-planar" : "single-planar";
  const modules = await vicodecModules();
  const guest = await lab.boot({
    name: api,
    modules: [`${modules.get("vicodec")} multiplanar=${multiplanar}`],
    memoryMib: 1536,
  });
  cpSync(player, join(guest.share, "player"));
  const node = async (list: string) =>
    (
      await guest.ok(
        `for n in /dev/video*; do v4l2-ctl -d $n ${list} | grep -q "'FWHT'" && echo $n && break; done`,
      )
    ).trim();
  const encoder = await node("--list-formats");
  const decoder = await node("--list-formats-out");

  await lab.check(`${api}: the reference clips are made by v4l2-ctl`, async () => {
    for (const { name, width, height, frames } of clips) {
      await Bun.write(join(guest.share, "in.yuv"), movingPicture(width, height, frames));
      const size = `width=${width},height=${height}`;
      await guest.ok(
        `v4l2-ctl -d ${encoder} --set-fmt-video-out=${size},pixelformat=YU12 --stream-mmap --stream-out-mmap --stream-from=in.yuv --stream-to=/tmp/${name}.fwht
         v4l2-ctl -d ${decoder} --set-fmt-video-out=${size},pixelformat=FWHT --set-fmt-video=${size},pixelformat=YU12 --stream-mmap --stream-out-mmap --stream-from=/tmp/${name}.fwht --stream-to=/tmp/${name}.ref
         test $(stat -c %s /tmp/${name}.ref) = ${(width * height * 3 * frames) / 2} && rm in.yuv`,
        { timeoutMs: 60_000 },
      );
    }
  });

  const play = (options: string, out = "/tmp/out") =>
    playIn(guest, decoder, `--out ${out} ${options}`);
  const same = (ref: string, out = "/tmp/out") => guest.ok(`cmp ${ref} ${out}`);

  await lab.check(
    `${api}: 300 frames are byte-identical, cut anywhere, without a drain`,
    async () => {
      const [played] = await play("--clip /tmp/long.fwht");
      await same("/tmp/long.ref");
      return played?.frames === 300 && played.errors === 0 && played.changes === 1;
    },
  );
  await lab.check(`${api}: timestamps are those of the bitstream, to the nanosecond`, async () => {
    const [played] = await play("--clip /tmp/long.fwht --chunk frame --mode drain");
    await same("/tmp/long.ref");
    const wanted = Array.from({ length: 300 }, (_, i) =>
      String(2n ** 60n + BigInt(i) * 33_366_667n),
    );
    return played?.eos === 1 && Bun.deepEquals(played.times, wanted);
  });
  await lab.check(`${api}: buffers of 100 scattered pieces, one copy`, async () => {
    const [played] = await play("--clip /tmp/short.fwht --pieces 100 --mode drain");
    await same("/tmp/short.ref");
    return played?.frames === 30 && played.errors === 0;
  });
  await lab.check(`${api}: bitstream in pieces of 1000 bytes`, async () => {
    const [played] = await play("--clip /tmp/short.fwht --chunk 1000 --mode drain");
    await same("/tmp/short.ref");
    return played?.frames === 30;
  });
  await lab.check(`${api}: drain, then all of it again without a word`, async () => {
    const [played] = await play("--clip /tmp/short.fwht --mode resume");
    await guest.ok("cat /tmp/short.ref /tmp/short.ref | cmp - /tmp/out");
    return played?.frames === 60 && played.eos === 2;
  });
  await lab.check(`${api}: seek, then all of it from the beginning`, async () => {
    const [played] = await play("--clip /tmp/short.fwht --chunk frame --mode seek");
    await guest.ok("tail -c $(stat -c %s /tmp/short.ref) /tmp/out | cmp - /tmp/short.ref");
    return played?.frames === 30 && played.errors === 0;
  });
  await lab.check(`${api}: another resolution in mid-stream, and back`, async () => {
    await guest.ok("cat /tmp/short.fwht /tmp/large.fwht /tmp/short.fwht >/tmp/mixed.fwht");
    const [played] = await play("--clip /tmp/mixed.fwht --mode drain --width 1280 --height 720");
    await guest.ok("cat /tmp/short.ref /tmp/large.ref /tmp/short.ref | cmp - /tmp/out");
    return played?.frames === 80 && played.changes === 3;
  });
  await lab.check(`${api}: four streams at once`, async () => {
    const four = [1, 2, 3, 4].map((i) => `--clip /tmp/short.fwht --out /tmp/out${i}`).join(" ");
    const played = await playIn(guest, decoder, `${four} --mode drain`);
    for (const i of [1, 2, 3, 4]) await same("/tmp/short.ref", `/tmp/out${i}`);
    return played.length === 4 && played.every(({ frames }) => frames === 30);
  });
  await lab.check(`${api}: NV12`, async () => {
    await guest.ok(
      `v4l2-ctl -d ${decoder} --set-fmt-video-out=width=640,height=480,pixelformat=FWHT --set-fmt-video=width=640,height=480,pixelformat=NV12 --stream-mmap --stream-out-mmap --stream-from=/tmp/short.fwht --stream-to=/tmp/nv12.ref`,
    );
    const [nv12] = await play(`--clip /tmp/short.fwht --format ${NV12} --mode drain`);
    await same("/tmp/nv12.ref");
    const [yu12] = await play(`--clip /tmp/short.fwht --format ${YU12} --mode drain`);
    await same("/tmp/short.ref");
    return nv12?.frames === 30 && yu12?.frames === 30;
  });
  await lab.check(`${api}: the rate is near v4l2-ctl's`, async () => {
    const [played] = await playIn(guest, decoder, "--clip /tmp/long.fwht --mode drain");
    const direct = await guest.ok(
      `from=$(cut -d' ' -f1 /proc/uptime)
       v4l2-ctl -d ${decoder} --set-fmt-video-out=width=640,height=480,pixelformat=FWHT --set-fmt-video=width=640,height=480,pixelformat=YU12 --stream-mmap --stream-out-mmap --stream-from=/tmp/long.fwht >/dev/null 2>&1
       to=$(cut -d' ' -f1 /proc/uptime); echo "$from $to"`,
      { timeoutMs: 60_000 },
    );
    const [from = 0, to = 1] = direct.trim().split(" ").map(Number);
    const ratio = (played?.fps ?? 0) / (300 / (to - from));
    process.stdout.write(
      `  through the device ${played?.fps.toFixed(1)} fps, v4l2-ctl ${(300 / (to - from)).toFixed(1)} fps, ratio ${ratio.toFixed(2)}\n`,
    );
    return ratio > 0.5; // the bench has the real bar
  });
}

async function playIn(guest: Guest, decoder: string, options: string): Promise<readonly Played[]> {
  const printed = await guest.ok(`./player --device ${decoder} ${options}`, { timeoutMs: 90_000 });
  return printed
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Played);
}

/** YU12 pictures of a gradient with a square that moves. */
function movingPicture(width: number, height: number, frames: number): Uint8Array {
  const size = (width * height * 3) / 2;
  const all = new Uint8Array(size * frames);
  const ground = new Uint8Array(size);
  for (let i = 0; i < size; i++) ground[i] = ((i % width) + Math.floor(i / width)) & 0xff;
  const side = 64;
  for (let f = 0; f < frames; f++) {
    all.set(ground, f * size);
    const left = (f * 5) % (width - side);
    const top = (f * 3) % (height - side);
    for (let y = top; y < top + side; y++)
      all.fill(30 + (f % 200), f * size + y * width + left, f * size + y * width + left + side);
  }
  return all;
}

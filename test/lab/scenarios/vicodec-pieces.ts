// Buffers in scattered pages, as the Linux driver makes them, on a real V4L2 decoder: it works on guest memory in place, by
// user pointers and by dma-bufs. No picture is copied, and each is, byte for byte, what v4l2-ctl gets.
import type { Scenario } from "../lab.ts";
import { type Clip, good, type StreamWish, timesOf, Vicodec } from "../vicodec.ts";
import { wanted } from "../wanted.ts";

const size = { width: 640, height: 368 };
const long: Clip = { ...size, frames: 300 };
/** Each picture on its own: vicodec forgets its reference picture when it is stopped. */
const intra: Clip = { ...size, frames: 300, gop: 1 };
const short: Clip = { ...size, frames: 60 };
const clips = { long, intra, short };
const YU12 = 4;
/** Pages of a picture: each is a piece of its own. */
const PAGES = 87;
const COUNTERS = /(\d+) pictures, (\d+) copied; (\d+) buffers of bitstream, (\d+) copied/g;

const wish = (name: string, more: Partial<StreamWish> = {}): StreamWish => ({
  ...size,
  ...{ format: YU12, chunk: "frame", pieces: PAGES, mode: "drain" },
  ...{ clip: `/tmp/${name}.fwht`, out: "/tmp/out" },
  ...more,
});

/** Checks that streams of so many pictures were logged, none of them with a copy. */
function noCopies(stderr: string, streams: readonly number[]): void {
  const counts = [...stderr.matchAll(COUNTERS)];
  wanted("pictures", counts.map(([, pictures]) => pictures).join(), streams.join());
  for (const [line, , copied, , gathered] of counts)
    if (copied !== "0" || gathered !== "0") throw new Error(line);
}

export const scenario: Scenario = {
  name: "vicodec-pieces",
  title: "FWHT clips decoded into scattered pages of the guest, without a copy",
  seconds: 130,
  limitMs: 400_000,
  besideOthers: true,
  async run(lab) {
    await using codec = await Vicodec.boot(lab, "pieces", false);
    const { guest } = codec;
    await lab.check("v4l2-ctl decodes the clips, for comparison", async () => {
      for (const [name, clip] of Object.entries(clips)) {
        await codec.encode(name, clip);
        await codec.reference(name, clip, `${name}.ref`);
      }
    });
    const same = (name: string) => guest.ok(`/usr/bin/cmp /tmp/${name}.ref /tmp/out`);
    const server = await codec.serve("--log-level debug");
    const player = codec.player();
    const plays = (
      sentence: string,
      name: keyof typeof clips,
      more: Partial<StreamWish> = {},
    ): Promise<boolean> => {
      const { frames } = clips[name];
      return lab.check(`${sentence}: ${frames} frames are byte-identical`, async () => {
        timesOf(good(await player.play(wish(name, more)), { frames, eos: 1, changes: 1 }));
        await same(name);
      });
    };

    await plays("user pointers", "long");
    await plays("paused ten times", "intra", { pauses: 10 });
    await plays("memory plugged in and out ten times", "long", { plugs: 10 });
    await plays("memory replaced ten times", "intra", { tables: 10 });
    await plays("after a reset", "short", { before: "reset" });
    await plays("after a new memory table", "short", { before: "table" });
    await lab.check("the counters say that none of them was copied", async () => {
      await player.end();
      server.kill("TERM");
      const { status, stderr } = await server.result;
      wanted("status", status, 0);
      noCopies(stderr, [300, 300, 300, 300, 60, 60]);
    });
    await lab.check(
      "dma-bufs, also after a new table: byte-identical, none is copied",
      async () => {
        const own = codec.player("own process, dmabuf");
        for (const [name, more] of [
          ["long", {}],
          ["short", { before: "table" }],
        ] as const) {
          const { frames } = clips[name];
          timesOf(good(await own.play(wish(name, more)), { frames, eos: 1, changes: 1 }));
          await same(name);
        }
        await own.end();
        const { stderr } = own.job.output();
        wanted("queues", stderr.match(/: DMABUF, on guest memory/g)?.length, 4);
        noCopies(stderr, [300, 60]);
      },
    );
    await lab.check("nothing of the decoder is left open", () => guest.ok("rmmod vicodec"));
  },
};

// What the daemon waits for from a decoder's process.
import { expect, test } from "bun:test";
import { copyMemory } from "../../../../ffi/copy.ts";
import { addressOf } from "../../../../ffi/libc.ts";
import { Loop } from "../../../../src/loop.ts";
import { DecoderLink } from "../../../../src/video/codec/libavcodec/decoder-link.ts";
import { StartGate } from "../../../../src/video/codec/libavcodec/start-gate.ts";
import { Clips, clipKinds } from "../../../support/clips.ts";
import { decoderProgram } from "../../../support/software-decoder.ts";

const VP8 = 0x1004;
const WAIT_MS = 20_000;

test("a drain that a seek has dropped is no work: the process may then wait for as long as the guest likes", async () => {
  const kind = clipKinds.find(({ name }) => name === "VP8");
  if (kind === undefined) throw new Error("there is no clip in VP8");
  const clip = new Clips().get(kind);
  const length = clip.units[0]?.length ?? 0;
  const frame = new Uint8Array(clip.bytes.slice(0, length));
  using loop = new Loop();
  const { promise, resolve, reject } = loop.promise<void>();
  using _limit = loop.after(WAIT_MS, () =>
    reject(new Error(`the link still waits: ${link.work()}`)),
  );
  using link: DecoderLink = new DecoderLink(
    {
      loop,
      program: decoderProgram,
      limits: { threads: 1, maxPixels: 640 * 480 },
      gate: new StartGate(),
    },
    {
      wake: () => link.work() === "none" && resolve(),
      ended: (reason) => reject(new Error(reason)),
    },
  );
  link.open(VP8);
  for (let seek = 0; seek < 3; seek++) {
    copyMemory(link.bitstreamAt(seek), addressOf(frame), length);
    link.input(seek, length, 0n);
    link.drain();
    link.flush();
  }
  link.send();
  await loop.run(promise);
  expect(link.work()).toBe("none");
});

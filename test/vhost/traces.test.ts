// Recorded conversations with a real monitor and the real driver, played to our back-end with the null codec: the same
// answers, of the same lengths, in the same order. Not compared: what another decoder says of its sizes.
import { expect, test } from "bun:test";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/device.ts";
import { fwhtFrame } from "../support/fwht.ts";
import type { DriverQueue } from "../support/vhost/driver.ts";
import { Hypervisor, monitor } from "../support/vhost/monitors.ts";
import { Replay, ramOf, readTrace, type TraceRecord, toldBy } from "../support/vhost/replay.ts";
import { withDevice } from "../support/vhost/scene.ts";

/** A clip of so many bytes and frames, cut where the recorded one was. */
function clipOf(bytes: number, frames: number): Uint8Array {
  const clip = new Uint8Array(bytes);
  const each = Math.floor(bytes / frames);
  for (let i = 0; i < frames; i++) {
    const end = i + 1 < frames ? each * (i + 1) : bytes;
    clip.set(fwhtFrame(640, 480, end - each * i - 44), each * i);
  }
  return clip;
}

async function replayed(
  records: readonly TraceRecord[],
  clip: Uint8Array,
  before?: (replay: Replay, hypervisor: (queues: DriverQueue[]) => Hypervisor) => Promise<void>,
): Promise<Replay> {
  let replay: Replay | undefined;
  using codec = openNull();
  await withDevice(
    {},
    () => createVideoDevice({ backend: codec, maxStreams: 16 }),
    async ({ loop, frontEnd }) => {
      using ram = ramOf(records);
      using playing = new Replay(loop, frontEnd, ram, clip);
      replay = playing;
      await before?.(
        playing,
        (queues) => new Hypervisor(monitor("QEMU"), frontEnd, { ram, queues }),
      );
      await playing.play(records);
    },
  );
  if (replay === undefined) throw new Error("nothing was played");
  return replay;
}

const CLIP_30 = 540_460;
const CLIP_150 = 5 * 460_800 + 398_526;

test.each([
  { name: "decode-30", bytes: CLIP_30, frames: 30 },
  { name: "decode-150-drain", bytes: CLIP_150, frames: 150 },
])("$name: the same answers in the same order", async ({ name, bytes, frames }) => {
  const records = readTrace(name);
  const replay = await replayed(records, clipOf(bytes, frames));
  expect(replay.answers).toEqual(toldBy(records));
  expect(replay.differences).toEqual([]);
  expect(replay.events).toBe(1);
});

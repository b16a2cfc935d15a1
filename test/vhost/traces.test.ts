// Replays recordings of a real monitor and the real driver to our back-end with the null codec, and compares answers, lengths
// and order. Not compared: the frame sizes, which another decoder reported.
import { expect, test } from "bun:test";
import type { Loop } from "../../src/loop.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";
import { fwhtFrame } from "../support/fwht.ts";
import type { DriverQueue } from "../support/vhost/driver.ts";
import { Hypervisor, monitor } from "../support/vhost/monitors.ts";
import {
  Replay,
  ramOf,
  readTrace,
  recordedAnswers,
  type TraceRecord,
} from "../support/vhost/replay.ts";
import { withDevice } from "../support/vhost/scene.ts";

/** A clip with that many bytes and frames, cut where the recorded one was. */
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
  before?: (
    replay: Replay,
    qemu: (queues: DriverQueue[]) => Hypervisor,
    loop: Loop,
  ) => Promise<void>,
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
      const qemu = (queues: DriverQueue[]) =>
        new Hypervisor(monitor("QEMU"), frontEnd, { ram, queues });
      await before?.(playing, qemu, loop);
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
  expect(replay.answers).toEqual(recordedAnswers(records));
  expect(replay.differences).toEqual([]);
  expect(replay.events).toBe(1);
});

/**
 * Brings a back-end to where a recording of the middle of a decode begins: stream 1, its resources, four coded buffers held,
 * and ring indices as they were.
 */
function midDecode(records: readonly TraceRecord[]) {
  const full = readTrace("decode-150-drain");
  const first = full.findIndex(
    ({ k, queue, name }) => k === "cmd" && name === "RESOURCE_QUEUE" && queue === 0x101,
  );
  // The heads in the recording must stay free.
  const prelude = full.slice(0, first).flatMap((record): TraceRecord[] => {
    if (record.k !== "cmd" && record.k !== "chain" && record.k !== "event") return [];
    if (record.k === "chain" && record.q !== 0) return [];
    return [{ ...record, head: (record.head ?? 0) + 20 }];
  });
  const answered = full.slice(0, first).filter(({ k }) => k === "resp").length;
  const [call] = records.filter(({ k, q }) => k === "call" && q === 0);
  const start = (call?.used ?? 1) - 1 - answered;
  return async (replay: Replay, hypervisor: (queues: DriverQueue[]) => Hypervisor, loop: Loop) => {
    const queues = [0, 1].map((index) =>
      replay.queueAt(loop, records, index, index === 0 ? start : 0),
    );
    const qemu = hypervisor(queues);
    await qemu.realize();
    await qemu.activate({ bases: [start, 0] });
    await replay.play(prelude);
    expect(replay.answers.length).toBe(answered);
    replay.answers.length = 0;
    replay.events = 0;
  };
}

test.each(["pause-resume", "guest-reboot"])(
  "%s in the middle of a decode: the same answers, indices and order",
  async (name) => {
    const records = readTrace(name);
    const replay = await replayed(records, clipOf(CLIP_150, 150), midDecode(records));
    // A recording may end before the answer to its last command.
    const recorded = recordedAnswers(records);
    expect(replay.answers.slice(0, recorded.length)).toEqual(recorded);
    expect(replay.differences).toEqual([]);
  },
);

const variants = readTrace("control-variants");
test.each([...new Set(variants.map(({ run = "" }) => run))])(
  "%s: the messages of this offer are answered as they were",
  async (run) => {
    const replay = await replayed(
      variants.filter((record) => record.run === run),
      new Uint8Array(0),
    );
    expect(replay.differences).toEqual([]);
  },
);

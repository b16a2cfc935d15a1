// A complete driver session through vhost-user and real rings, with the null codec. The guest lab does it with a real decoder.
import { expect, test } from "bun:test";
import { socketPair } from "../../ffi/socket.ts";
import { Loop } from "../../src/loop.ts";
import { Connection } from "../../src/vhost/connection.ts";
import { openNull } from "../../src/video/codec/null.ts";
import { createVideoDevice } from "../../src/video/video-device.ts";
import { type ClipOptions, ClipPlayer, timeOf } from "../support/clip-player.ts";
import { fwhtFrame } from "../support/fwht.ts";
import { RemoteDevice } from "../support/vhost/remote-device.ts";
import { Driver } from "../support/video-driver.ts";

const FRAMES = 40;
const base: ClipOptions = {
  clip: Buffer.concat(Array.from({ length: FRAMES }, (_, i) => fwhtFrame(64, 48, 40 + i))),
  format: 4,
  width: 64,
  height: 48,
  chunk: "frame",
  pieces: 1,
  mode: "drain",
};

/** Plays the clips at the same time, each as a stream. */
async function play(...clips: Partial<ClipOptions>[]): Promise<ClipPlayer[]> {
  using loop = new Loop();
  using backend = openNull();
  const [ours, theirs] = socketPair();
  const run = async () => {
    using _connection = new Connection(loop, ours, () =>
      createVideoDevice({ backend, maxStreams: 4 }),
    );
    using device = await RemoteDevice.connect(loop, theirs, 16 * 1024 * 1024);
    const driver = new Driver({ device, memory: device.memory, loop });
    for (let i = 0; i < 8; i++) driver.postEvent();
    const players = clips.map((o, i) => new ClipPlayer(driver, i + 1, { ...base, ...o }));
    const { promise, resolve, reject } = loop.promise<void>();
    using _limit = loop.after(4000, () => reject(new Error("stuck")));
    const turn = () => {
      for (const player of players) while (player.step());
      if (players.every(({ done }) => done)) resolve();
    };
    device.onAnswers = turn;
    turn();
    await promise;
    expect(device.marginsIntact).toBe(true);
    return players;
  };
  return await loop.run(run());
}

test("a clip through rings: every picture with its time, EOS, the drain's answer", async () => {
  const [player] = await play({});
  expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1, changes: 1 });
  expect(player?.times).toEqual(Array.from({ length: FRAMES }, (_, i) => timeOf(i)));
});

test("a clip through rings, cut anywhere, drained and played again", async () => {
  const [player] = await play({ chunk: 100, mode: "resume", pieces: 3 });
  expect(player).toMatchObject({ frames: 2 * FRAMES, errors: 0, eos: 2 });
});

test("a seek in the middle through rings: nothing is lost and nothing comes twice", async () => {
  const [player] = await play({ mode: "seek" });
  expect(player).toMatchObject({ frames: FRAMES, eos: 1 });
  expect(player?.times).toEqual(Array.from({ length: FRAMES }, (_, i) => timeOf(i)));
});

test("four streams through the same rings, one of them changing its size twice", async () => {
  const small = fwhtFrame(64, 48, 40);
  const clip = Buffer.concat([small, small, fwhtFrame(128, 64, 40), small, small]);
  const players = await play({}, { chunk: 200 }, { clip, width: 128, height: 64 }, {});
  expect(players.map(({ frames, errors }) => [frames, errors])).toEqual([
    [FRAMES, 0],
    [FRAMES, 0],
    [5, 0],
    [FRAMES, 0],
  ]);
  expect(players[2]).toMatchObject({ changes: 3, eos: 3 });
});

// Whole clips through vhost-user, rings and the process of a decoder: every picture has the md5 that ffmpeg's own decoder gives.
import { expect, test } from "bun:test";
import { socketPair } from "../../../../ffi/socket.ts";
import { Loop } from "../../../../src/loop.ts";
import { Connection } from "../../../../src/vhost/connection.ts";
import { softwareCodecs } from "../../../../src/video/codec/libavcodec/codecs.ts";
import { pictureLayout } from "../../../../src/video/codec/libavcodec/picture-layout.ts";
import { createVideoDevice } from "../../../../src/video/video-device.ts";
import { type ClipOptions, ClipPlayer } from "../../../support/clip-player.ts";
import { type Clip, Clips, clipKinds, referenceSums } from "../../../support/clips.ts";
import { softwareDecoder } from "../../../support/software-decoder.ts";
import { RemoteDevice } from "../../../support/vhost/remote-device.ts";
import { Driver } from "../../../support/video-driver.ts";

const KIB = 1024;
const MEMORY = 48 * 1024 * KIB;
const NV12 = 3;
const YUV420 = 4;
/** Longest that a clip may take on a machine with other work. */
const LIMIT_MS = 25_000;

const clips = new Clips();

/** Plays a clip; its pictures. */
async function play(
  options: Partial<ClipOptions> & Pick<ClipOptions, "clip">,
): Promise<Uint8Array[]> {
  using loop = new Loop();
  using backend = softwareDecoder();
  const [ours, theirs] = socketPair();
  const pictures: Uint8Array[] = [];
  const parts: Uint8Array[] = [];
  const onPicture: ClipOptions["onPicture"] = (part, last) => {
    parts.push(part.slice());
    if (last) pictures.push(Buffer.concat(parts.splice(0)));
  };
  const run = async () => {
    using _connection = new Connection(loop, ours, () =>
      createVideoDevice({ backend, maxStreams: 4 }),
    );
    using device = await RemoteDevice.connect(loop, theirs, MEMORY);
    const driver = new Driver({ device, memory: device.memory, loop });
    for (let i = 0; i < 8; i++) driver.postEvent();
    const player = new ClipPlayer(driver, 1, {
      format: YUV420,
      width: 176,
      height: 144,
      chunk: "frame",
      pieces: 1,
      mode: "drain",
      spare: 4,
      onPicture,
      ...options,
    });
    const { promise, resolve, reject } = loop.promise<void>();
    using _limit = loop.after(LIMIT_MS, () => reject(new Error(`stuck: ${player}`)));
    const turn = () => {
      while (player.step());
      if (player.done) resolve();
    };
    device.onAnswers = turn;
    turn();
    await promise;
    expect(player).toMatchObject({ errors: 0, eos: player.changes });
    expect(device.marginsIntact).toBe(true);
  };
  await loop.run(run());
  return pictures;
}

const codedFormats: Readonly<Record<string, number>> = Object.fromEntries(
  softwareCodecs.map(({ name, format }) => [name, format]),
);

/** A way to cut a clip into buffers: their size, and the pieces of memory each is made of. */
interface Cut {
  readonly chunk: ClipOptions["chunk"];
  readonly pieces: number;
}
const cutsOf = (chunks: readonly Cut["chunk"][]): readonly Cut[] =>
  chunks.flatMap((chunk) => [1, 5].map((pieces) => ({ chunk, pieces })));
const anyCuts = cutsOf([4 * KIB, 64 * KIB, 1024 * KIB]);
/** For codecs whose units have no start codes: V4L2 demands one in each buffer. */
const unitCuts = cutsOf(["frame"]);

/** What a guest writes into its buffers: the bitstream, and where it ends units. */
function bitstreamOf({ bytes, units }: Clip) {
  const parts = units.map(({ at, length }) => bytes.subarray(at, at + length));
  let end = 0;
  const ends = parts.map(({ length }) => {
    end += length;
    return end;
  });
  return { clip: Buffer.concat(parts), ends };
}

const md5 = (bytes: Uint8Array) => new Bun.CryptoHasher("md5").update(bytes).digest("hex");

/** A picture without the column and row that complete an odd size: as ffmpeg writes it. */
function visible(picture: Uint8Array, format: number, size = "2x2"): Uint8Array {
  const [width = 0, height = 0] = size.split("x").map(Number);
  if (width % 2 === 0 && height % 2 === 0) return picture;
  const { planes, stride } = pictureLayout(format, width, height);
  const half = { width: Math.ceil(width / 2), height: Math.ceil(height / 2) };
  const rows = planes.flatMap(({ offset }, i) => {
    const row = i === 0 ? stride : planes.length === 2 ? stride : stride / 2;
    const bytes = i === 0 ? width : planes.length === 2 ? 2 * half.width : half.width;
    return Array.from({ length: i === 0 ? height : half.height }, (_, y) =>
      picture.subarray(offset + y * row, offset + y * row + bytes),
    );
  });
  return Buffer.concat(rows);
}

test.each(clipKinds)(
  "$name: all 300 pictures, however the bitstream is cut and wherever its memory is",
  async (kind) => {
    const made = clips.get(kind);
    const { clip, ends } = bitstreamOf(made);
    const reference = referenceSums(made, kind);
    const cuts = made.units.length > 1 ? unitCuts : anyCuts;
    const coded = codedFormats[kind.codec] ?? 0;
    for (const [i, cut] of cuts.entries()) {
      const [format, wanted] = i % 3 === 1 ? [NV12, reference.nv12] : [YUV420, reference.yuv420p];
      const pictures = await play({ clip, ends, coded, format, ...cut });
      expect(pictures.length).toBe(300);
      const sums = pictures.map((picture) => md5(visible(picture, format, kind.size)));
      expect(sums).toEqual([...wanted]);
    }
  },
  60_000,
);

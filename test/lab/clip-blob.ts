// Clips in the form that the lab's driver takes: a head, the CRC of each picture as ffmpeg decodes it, then the units.
import { readFileSync } from "node:fs";
import { softwareCodecs } from "../../src/video/codec/libavcodec/codecs.ts";
import { type Clip, type Clips, clipKinds, ffmpeg, picturePositions } from "../support/clips.ts";

const MAGIC = 0x50494c43;
const HEAD_WORDS = 5;
const [WIDTH, HEIGHT] = [176, 144];
const PICTURE = (WIDTH * HEIGHT * 3) / 2;

/** The clip of that name, of 300 frames. Its pictures come in the order of their bitstream. */
export function clipBlob(clips: Clips, name: string): Uint8Array {
  const kind = clipKinds.find((row) => row.name === name);
  const coded = softwareCodecs.find((row) => row.name === kind?.codec)?.format;
  if (kind === undefined || coded === undefined) throw new Error(`there is no clip ${name}`);
  const clip = clips.get(kind);
  const units = unitsOf(clip);
  const pictures = decoded(clip);
  const count = pictures.length / PICTURE;
  if (count !== units.length) throw new Error(`${count} pictures of ${units.length} units`);
  const head = new Uint32Array(HEAD_WORDS + count);
  head.set([MAGIC, coded, WIDTH, HEIGHT, count]);
  for (let i = 0; i < count; i++)
    head[HEAD_WORDS + i] = Bun.hash.crc32(pictures.subarray(i * PICTURE, (i + 1) * PICTURE));
  const parts = units.flatMap((unit) => [
    new Uint8Array(new Uint32Array([unit.length]).buffer),
    unit,
  ]);
  return Buffer.concat([new Uint8Array(head.buffer), ...parts]);
}

/** One unit for each picture. */
function unitsOf(clip: Clip): Uint8Array[] {
  if (clip.units.length > 1)
    return clip.units.map(({ at, length }) => clip.bytes.subarray(at, at + length));
  const positions = picturePositions(clip);
  return positions.map((at, i) => clip.bytes.subarray(at, positions[i + 1] ?? clip.bytes.length));
}

/** All pictures, as ffmpeg decodes them. */
function decoded({ path }: Clip): Uint8Array {
  const out = `${path}.yuv`;
  ffmpeg(["-i", path, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", out]);
  return readFileSync(out);
}

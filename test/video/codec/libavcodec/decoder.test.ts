// Whole clips through the decoder: every picture is the one that ffmpeg decodes.
import { afterAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { addressOf } from "../../../../ffi/libc.ts";
import { SPARE_BYTES } from "../../../../ffi/picture-writer.ts";
import { softwareCodecs } from "../../../../src/video/codec/libavcodec/codecs.ts";
import { Decoder, type PictureSink } from "../../../../src/video/codec/libavcodec/decoder.ts";
import type { PictureSize } from "../../../../src/video/codec/libavcodec/layout.ts";
import { YUV420 } from "../../../../src/video/formats.ts";
import { Clips, pictureSums } from "../../../support/clips.ts";

const clips = new Clips();
afterAll(() => clips[Symbol.dispose]());

class Sums implements PictureSink {
  readonly sums: string[] = [];
  readonly keys: number[] = [];
  #memory = new Uint8Array(new ArrayBuffer(1));
  changed(_size: PictureSize): void {}
  place(bytes: number): number {
    if (this.#memory.length !== bytes + SPARE_BYTES)
      this.#memory = new Uint8Array(new ArrayBuffer(bytes + SPARE_BYTES));
    return addressOf(this.#memory);
  }
  picture(key: number): void {
    this.keys.push(key);
    const picture = this.#memory.subarray(0, this.#memory.length - SPARE_BYTES);
    this.sums.push(createHash("md5").update(picture).digest("hex"));
  }
  failed(): void {}
}

test("h264: 300 pictures equal ffmpeg's", () => {
  const path = clips.make({
    name: "h264",
    codec: "h264",
    encode: ["-c:v", "libx264"],
    container: "h264",
  });
  const sink = new Sums();
  const codec = softwareCodecs.find(({ name }) => name === "h264");
  if (codec === undefined) throw new Error("no row");
  using decoder = new Decoder(
    loadAvcodec(),
    codec,
    { threads: 1, maxPixels: 4096 * 2304, output: { format: YUV420, align: 2 } },
    sink,
  );
  const bytes = new Uint8Array(readFileSync(path));
  const chunk = 4096;
  for (let at = 0, key = 0; at < bytes.length; at += chunk, key++) {
    const part = bytes.slice(at, at + chunk);
    const own = new Uint8Array(new ArrayBuffer(part.length));
    own.set(part);
    decoder.take(addressOf(own), own.length, key);
    expect(decoder.run()).toBe(true);
  }
  decoder.drain();
  expect(decoder.run()).toBe(true);
  expect(sink.sums).toEqual(pictureSums(path, "yuv420p"));
  expect([...sink.keys].sort((a, b) => a - b).at(-1)).toBeLessThan(bytes.length / chunk);
});

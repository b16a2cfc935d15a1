// Opens decoders of libavcodec and gives them clips, for tests.
import { loadAvcodec } from "../../ffi/libavcodec.ts";
import { addressOf } from "../../ffi/libc.ts";
import { softwareCodecs } from "../../src/video/codec/libavcodec/codecs.ts";
import { Decoder } from "../../src/video/codec/libavcodec/decoder.ts";
import type { Clip } from "./clips.ts";
import type { PictureSums } from "./picture-sums.ts";

/** A decoder of `codec` (FFmpeg's name) that writes to `sink`. */
export function openDecoder(
  codec: string,
  sink: PictureSums,
  { threads = 1, maxPixels = 4096 * 2304 } = {},
): Decoder {
  const row = softwareCodecs.find(({ name }) => name === codec);
  if (row === undefined) throw new Error(`no row for ${codec}`);
  return new Decoder(loadAvcodec(), row, { threads, maxPixels, output: sink.output }, sink);
}

/** Where pieces begin and end in the file: `piece` bytes each, or the units of IVF. */
export function piecesOf({ bytes, units }: Clip, piece: number): { at: number; end: number }[] {
  if (units.length > 1) return units.map(({ at, length }) => ({ at, end: at + length }));
  const pieces = [];
  for (let at = 0; at < bytes.length; at += piece)
    pieces.push({ at, end: Math.min(at + piece, bytes.length) });
  return pieces;
}

/** Calls `run` until there is nothing to do; the sink gets one place at a time when it has none. */
export function runOut(decoder: Decoder, sink: PictureSums): void {
  while (!decoder.run()) sink.places += 1;
}

/** Gives pieces of a clip to the decoder; the key of a piece is where it begins in the file. */
export function feed(
  decoder: Decoder,
  sink: PictureSums,
  { bytes }: Clip,
  pieces: readonly { readonly at: number; readonly end: number }[],
): void {
  for (const { at, end } of pieces) {
    const part = bytes.slice(at, end);
    decoder.take(addressOf(part), part.length, at);
    runOut(decoder, sink);
  }
}

/** Decodes a whole clip. */
export function decodeClip(decoder: Decoder, sink: PictureSums, clip: Clip, piece: number): void {
  feed(decoder, sink, clip, piecesOf(clip, piece));
  decoder.drain();
  runOut(decoder, sink);
}

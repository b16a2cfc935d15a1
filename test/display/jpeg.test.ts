// The JPEG decoder with pictures as cameras send them, and with damaged ones. Pictures of cameras are made from good ones:
// fill bytes before markers (ITU-T T.81, B.1.1.2), no end marker, padding after it.
import { beforeAll, expect, test } from "bun:test";
import { addressOf } from "../../ffi/libc.ts";
import { JpegDecoder } from "../../ffi/turbojpeg.ts";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { encodeJpeg } from "../support/jpeg.ts";

const [width, height] = [64, 48];
let good: Uint8Array;

beforeAll(() => {
  ensureDebian(displayNeeds);
  const rgb = new Uint8Array(width * height * 3).map((_, i) => (i * 7) % 256);
  good = encodeJpeg(rgb, width, height);
});

const join = (...parts: (Uint8Array | number[])[]) =>
  new Uint8Array(Buffer.concat(parts.map((part) => new Uint8Array(part))));

/** Decodes pictures one after the other with one decoder; answers what is wrong with each, and the last pixels. */
function decodeAll(...pictures: Uint8Array[]) {
  using decoder = new JpegDecoder();
  const pixels = new Uint8Array(new ArrayBuffer(width * height * 4));
  const to = { address: addressOf(pixels), pitch: width * 4, width, height };
  const wrong = pictures.map((picture) => {
    const own = new Uint8Array(new ArrayBuffer(picture.length + 1)); // at least one byte: an address
    own.set(picture);
    pixels.fill(0);
    return decoder.decode(addressOf(own), picture.length, to);
  });
  return { wrong, pixels };
}

/** Where the header of a kind begins: the marker's second byte. */
const markerAt = (marker: number) =>
  good.findIndex((byte, i) => byte === 0xff && good[i + 1] === marker);
/** The good picture with bytes at `at` replaced. */
function patched(at: number, ...bytes: number[]): Uint8Array {
  const copy = good.slice();
  copy.set(bytes, at);
  return copy;
}

const SOF0 = 0xc0;
const DHT = 0xc4;
const SOS = 0xda;

test("pictures with fill bytes before markers, without an end or with padding after it decode as the plain one", () => {
  const body = good.subarray(0, -2);
  const plain = decodeAll(good);
  expect(plain.wrong).toEqual([undefined]);
  const sos = markerAt(SOS);
  const cameras = {
    "fill before EOI": join(body, [0xff, 0xff, 0xff, 0xd9]),
    "fill before SOS": join(good.subarray(0, sos), [0xff, 0xff], good.subarray(sos)),
    "other bytes before EOI": join(body, [0x00, 0x11, 0x22], [0xff, 0xd9]),
    "no EOI": body,
    "zeros after EOI": join(good, new Uint8Array(500)),
    "a second start after EOI": join(good, good.subarray(0, 20)),
  };
  for (const [name, picture] of Object.entries(cameras)) {
    const { wrong, pixels } = decodeAll(picture, picture, good, picture);
    expect({ name, wrong }).toEqual({ name, wrong: [undefined, undefined, undefined, undefined] });
    expect(Buffer.compare(pixels, plain.pixels)).toBe(0);
  }
});

test("after a damaged picture the good ones decode as before, whatever was damaged", () => {
  const plain = decodeAll(good);
  const sof = markerAt(SOF0);
  const damaged = {
    "height 0": patched(sof + 5, 0, 0),
    "width 0": patched(sof + 7, 0, 0),
    "no components": patched(sof + 9, 0),
    "sampling factor 0": patched(sof + 11, 0),
    "a Huffman table that is too long": patched(markerAt(DHT) + 5, 255, 255, 255),
    "the SOF marker is another": patched(sof + 1, 0xc3),
    "no picture at all": new Uint8Array(1000).fill(0xff),
    "nothing but a start": good.subarray(0, 2),
    "header cut": good.subarray(0, sof + 6),
    "scan cut": good.subarray(0, markerAt(SOS) + 40),
    empty: good.subarray(0, 0),
  };
  for (const [name, picture] of Object.entries(damaged)) {
    const { wrong, pixels } = decodeAll(good, picture, good, picture, good);
    const bad = wrong[1];
    expect({ name, bad: typeof bad }).toEqual({ name, bad: "string" });
    expect({ name, wrong }).toEqual({ name, wrong: [undefined, bad, undefined, bad, undefined] });
    expect(Buffer.compare(pixels, plain.pixels)).toBe(0);
  }
});

test("every single wrong byte in the headers leaves the next picture right", () => {
  const plain = decodeAll(good).pixels;
  const end = markerAt(SOS) + 14;
  for (let at = 2; at < end; at++) {
    const { wrong, pixels } = decodeAll(patched(at, (good[at] ?? 0) ^ 0xff), good);
    expect({ at, wrong: wrong[1] }).toEqual({ at, wrong: undefined });
    expect({ at, same: Buffer.compare(pixels, plain) }).toEqual({ at, same: 0 });
  }
});

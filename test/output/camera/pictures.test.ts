// What a virtual camera makes of pictures: conversions by libswscale judged with a Canvas, the border of another shape, the
// card. ffmpeg's own conversions are not the judge, they are the same library.
import { expect, test } from "bun:test";
import { addressOf } from "../../../ffi/libc.ts";
import { JpegDecoder } from "../../../ffi/turbojpeg.ts";
import { JpegEncoder } from "../../../ffi/turbojpeg-encoder.ts";
import { Canvas } from "../../../src/format/canvas.ts";
import { defaultMatrix, type Rgb, toRgb, toYuv } from "../../../src/format/colour.ts";
import { fittedPart } from "../../../src/format/conversion.ts";
import {
  formats,
  fourcc,
  type PixelFormat,
  pixelFormatNamed,
} from "../../../src/format/formats.ts";
import { MadePicture } from "../../../src/format/made-picture.ts";
import { pictureBytes } from "../../../src/format/picture-layout.ts";
import { PictureMaker } from "../../../src/format/picture-maker.ts";
import { StandbyCard } from "../../../src/format/standby-card.ts";
import { nodeFormat } from "../../../src/v4l2/output-format.ts";

const plain = formats.filter(({ sentAs }) => sentAs === undefined);
const colours: readonly Rgb[] = [
  [200, 40, 40],
  [40, 200, 60],
  [30, 60, 210],
  [180, 180, 180],
];
const apart = (a: Rgb, b: Rgb) => Math.max(...a.map((value, i) => Math.abs(value - (b[i] ?? 0))));
const grey = (colour: Rgb): Rgb => {
  const [y] = toYuv(colour, defaultMatrix);
  return toRgb(y, 128, 128, defaultMatrix);
};

/** A picture of four squares in its corners. */
function squares(format: PixelFormat, width: number, height: number) {
  const bytes = new Uint8Array(new ArrayBuffer(pictureBytes(format, width, height)));
  const canvas = new Canvas(bytes, format, width, height);
  for (const [i, colour] of colours.entries()) {
    const left = (i % 2) * (width / 2);
    const top = (i >> 1) * (height / 2);
    canvas.fill(left, top, width / 2, height / 2, canvas.encode(colour));
  }
  const picture = { width, height, pixelformat: fourcc(format.name), sizeimage: bytes.length };
  return { bytes, picture };
}

/** The node's format for a picture; `padding` bytes at the end of each row of the first plane. */
function node(name: string, width: number, height: number, padding = 0) {
  const format = pixelFormatNamed(name) as PixelFormat;
  const row = Math.ceil(width / (format.planes[0]?.across ?? 1)) * (format.planes[0]?.bytes ?? 1);
  const planes = [{ bytesperline: row + padding, sizeimage: (row + padding) * height * 3 }];
  return nodeFormat("/dev/video9", { fourcc: fourcc(name), width, height, planes });
}

const cases = plain.flatMap((from) =>
  ["YUYV", "YU12", "NV12", "RGB3"].map((to) => ({ from: from.name, to })),
);

test.each(cases)("$from becomes $to with the same colours", ({ from, to }) => {
  const source = pixelFormatNamed(from) as PixelFormat;
  const { bytes, picture } = squares(source, 64, 48);
  using made = new MadePicture(node(to, 64, 48));
  using maker = new PictureMaker(picture, made);
  expect(maker.make(addressOf(bytes), bytes.length)).toBeUndefined();
  const canvas = made.memory.canvas();
  for (const [i, colour] of colours.entries()) {
    const seen = canvas.colourAt(16 + (i % 2) * 32, 12 + (i >> 1) * 24);
    const wanted = source.model === "grey" ? grey(colour) : colour;
    expect(apart(seen, wanted)).toBeLessThanOrEqual(from === "RGBP" ? 12 : 8); // five bits
  }
});

const separated = ["NV12", "NV21", "P010"].flatMap((from) =>
  ["YU12", "YV12"].flatMap((to) => [
    { from, to, width: 66, height: 48, into: 48 },
    { from, to, width: 720, height: 12, into: 12 },
    { from, to, width: 30, height: 20, into: 40 },
  ]),
);

test.each(separated)(
  "$from becomes $to although the rows of $width pixels are at odd addresses, in $into rows",
  ({ from, to, width, height, into }) => {
    const { bytes, picture } = squares(pixelFormatNamed(from) as PixelFormat, width, height);
    using made = new MadePicture(node(to, width, into));
    using maker = new PictureMaker(picture, made);
    expect(maker.make(addressOf(bytes), bytes.length)).toBeUndefined();
    const canvas = made.memory.canvas();
    const top = (into - height) / 2;
    for (const [i, colour] of colours.entries()) {
      const x = (i % 2) * (width / 2);
      const y = top + (i >> 1) * (height / 2);
      for (const [right, down] of [
        [2, 2],
        [width / 2 - 4, height / 2 - 4],
      ] as const)
        expect(apart(canvas.colourAt(x + right, y + down), colour)).toBeLessThanOrEqual(8);
    }
    if (top > 0)
      for (const y of [top - 1, top + height])
        expect(apart(canvas.colourAt(5, y), [0, 0, 0])).toBeLessThanOrEqual(2);
  },
);

test.each(plain)("$name is scaled, and keeps its format and colours", (format) => {
  const { bytes, picture } = squares(format, 128, 96);
  using made = new MadePicture(node(format.name, 64, 48));
  using maker = new PictureMaker(picture, made);
  expect(maker.make(addressOf(bytes), bytes.length)).toBeUndefined();
  const canvas = made.memory.canvas();
  for (const [i, colour] of colours.entries()) {
    const seen = canvas.colourAt(16 + (i % 2) * 32, 12 + (i >> 1) * 24);
    const wanted = format.model === "grey" ? grey(colour) : colour;
    expect(apart(seen, wanted)).toBeLessThanOrEqual(format.name === "RGBP" ? 12 : 8);
  }
});

test.each(["YUYV", "YU12", "NV12"])("%s into rows that are padded: the same pixels", (name) => {
  const { bytes, picture } = squares(pixelFormatNamed(name) as PixelFormat, 64, 48);
  using made = new MadePicture(node(name, 64, 48, 32));
  using maker = new PictureMaker(picture, made);
  maker.make(addressOf(bytes), bytes.length);
  const canvas = made.memory.canvas();
  const tight = new Canvas(bytes, made.memory.format, 64, 48);
  for (const [x, y] of [
    [0, 0],
    [63, 0],
    [31, 23],
    [32, 24],
    [0, 47],
    [63, 47],
  ] as const)
    expect(canvas.colourAt(x, y)).toEqual(tight.colourAt(x, y));
  expect(made.length).toBe(made.memory.bytes.length - 64);
});

test.each([
  [
    { width: 1280, height: 720 },
    { left: 0, top: 60, width: 640, height: 360 },
  ],
  [
    { width: 480, height: 640 },
    { left: 140, top: 0, width: 360, height: 480 },
  ],
  [
    { width: 640, height: 480 },
    { left: 0, top: 0, width: 640, height: 480 },
  ],
  [
    { width: 320, height: 240 },
    { left: 0, top: 0, width: 640, height: 480 },
  ],
  [
    { width: 16_384, height: 1 },
    { left: 0, top: 238, width: 640, height: 2 },
  ],
])("%o in 640x480 is at %o", (picture, part) => {
  expect(fittedPart(picture, { width: 640, height: 480 })).toEqual(part);
});

test("a picture of another shape has a black border, and nothing is written outside of its part", () => {
  const { bytes, picture } = squares(pixelFormatNamed("YUYV") as PixelFormat, 128, 72);
  using made = new MadePicture(node("YUYV", 64, 48));
  using maker = new PictureMaker(picture, made);
  maker.make(addressOf(bytes), bytes.length);
  const canvas = made.memory.canvas();
  expect([0, 3, 44, 47].map((y) => apart(canvas.colourAt(20, y), [0, 0, 0]) <= 2)).toEqual(
    Array(4).fill(true),
  );
  expect(apart(canvas.colourAt(16, 14), [200, 40, 40])).toBeLessThanOrEqual(8);
  expect(apart(canvas.colourAt(48, 34), [180, 180, 180])).toBeLessThanOrEqual(8);
});

test("a frame that is shorter than a picture is not converted", () => {
  const { bytes, picture } = squares(pixelFormatNamed("GREY") as PixelFormat, 64, 48);
  using made = new MadePicture(node("YUYV", 64, 48));
  using maker = new PictureMaker(picture, made);
  expect(maker.make(addressOf(bytes), 3071)).toBe(
    "3071 bytes are no 64x48 GREY picture: it has 3072, or more with rows of one length",
  );
});

test("JPEG is decoded, and made where the node has it", () => {
  const { bytes, picture } = squares(pixelFormatNamed("XR24") as PixelFormat, 64, 48);
  using encoder = new JpegEncoder(64, 48);
  const length = encoder.encode(addressOf(bytes), 256);
  const jpeg = { ...picture, pixelformat: fourcc("MJPG"), sizeimage: 100_000 };
  using made = new MadePicture(node("YUYV", 64, 48));
  using maker = new PictureMaker(jpeg, made);
  expect(maker.make(encoder.address, length)).toBeUndefined();
  expect(apart(made.memory.canvas().colourAt(16, 12), [200, 40, 40])).toBeLessThanOrEqual(12);
  expect(maker.make(addressOf(bytes), 100)).toMatch(/./);
  const planes = [{ bytesperline: 0, sizeimage: 100_000 }];
  const format = { fourcc: fourcc("MJPG"), width: 64, height: 48, planes };
  using back = new MadePicture(nodeFormat("/dev/video9", format));
  using again = new PictureMaker(picture, back);
  expect(again.make(addressOf(bytes), bytes.length)).toBeUndefined();
  using decoder = new JpegDecoder();
  const pixels = new Uint8Array(new ArrayBuffer(64 * 48 * 4));
  const to = { address: addressOf(pixels), pitch: 256, width: 64, height: 48 };
  expect(decoder.decode(back.address, back.length, to)).toBeUndefined();
  expect(Math.abs((pixels[16 * 4 + 12 * 256 + 2] ?? 0) - 200)).toBeLessThanOrEqual(12);
});

test("a stream that nothing can be made of is refused by its name", () => {
  using made = new MadePicture(node("YUYV", 64, 48));
  const stream = { width: 64, height: 48, pixelformat: fourcc("H264"), sizeimage: 100_000 };
  expect(() => new PictureMaker(stream, made)).toThrow("hello: 64x48 H264 cannot be converted");
});

test.each(plain)(
  "$name: the card has its text in the middle, and is drawn once",
  ({ name, model }) => {
    using card = new StandbyCard(node(name, 320, 240));
    const picture = card.with(["no signal", "since 12:00:00", "10.0.0.2:5000"]);
    const canvas = picture.memory.canvas();
    const white = (x: number, y: number) => canvas.colourAt(x, y).every((value) => value > 200);
    let inside = 0;
    let outside = 0;
    for (let y = 0; y < 240; y += 1)
      for (let x = 0; x < 320; x += 1) {
        if (!white(x, y)) continue;
        if (x > 30 && x < 290 && y > 60 && y < 180) inside += 1;
        else outside += 1;
      }
    expect(inside).toBeGreaterThan(500);
    expect(outside).toBe(0);
    expect(
      apart(canvas.colourAt(2, 2), model === "grey" ? grey([24, 28, 36]) : [24, 28, 36]),
    ).toBeLessThan(6);
    picture.memory.bytes.fill(9);
    const first = (time: string) =>
      card.with(["no signal", `since ${time}`, "10.0.0.2:5000"]).memory.bytes.slice(0, 2);
    expect([...first("12:00:00")]).toEqual([9, 9]);
    expect([...first("12:00:01")]).not.toEqual([9, 9]);
  },
);

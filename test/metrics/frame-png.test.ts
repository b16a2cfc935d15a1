// Pictures as PNG: every format of the table, JPEG, and frames that are no pictures.
import { beforeAll, expect, test } from "bun:test";
import { decode } from "fast-png";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { Canvas } from "../../src/format/canvas.ts";
import { formats, fourcc } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { makePng } from "../../src/metrics/frame-png.ts";
import { encodeJpeg } from "../support/jpeg.ts";

beforeAll(() => ensureDebian(displayNeeds), 120_000);

const [width, height] = [10, 6];

test.each(formats.filter(({ sentAs }) => sentAs === undefined))(
  "$name: the PNG has the pixels of the frame",
  (format) => {
    const bytes = new Uint8Array(pictureBytes(format, width, height));
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 59) % 251;
    const stream = { width, height, pixelformat: fourcc(format.name), sizeimage: bytes.length };
    const png = decode(makePng(stream, bytes) as Uint8Array);
    expect([png.width, png.height, png.channels]).toEqual([width, height, 3]);
    expect([...png.data]).toEqual([...new Canvas(bytes, format, width, height).toRgb()]);
  },
);

test("MJPG: the PNG has the colours that were encoded", () => {
  const [wide, high] = [32, 16];
  const rgb = new Uint8Array(new ArrayBuffer(wide * high * 3));
  for (let i = 0; i < rgb.length; i += 3) rgb.set([200, 60, 30], i);
  const jpeg = encodeJpeg(rgb, wide, high);
  const stream = { width: wide, height: high, pixelformat: fourcc("MJPG"), sizeimage: 10_000 };
  const png = decode(makePng(stream, jpeg) as Uint8Array);
  expect([png.width, png.height]).toEqual([wide, high]);
  const furthest = Math.max(...[...png.data].map((value, i) => Math.abs(value - (rgb[i] ?? 0))));
  expect(furthest).toBeLessThanOrEqual(3);
});

test("a picture of gigabytes is refused before memory is taken for it", () => {
  const stream = { width: 16_384, height: 16_384, pixelformat: fourcc("MJPG"), sizeimage: 1000 };
  expect(makePng(stream, new Uint8Array(100))).toBe(
    "a picture of 16384x16384 is too large to be shown",
  );
});

/** The sizes of the buffers that `action` makes. */
function buffersOf(action: () => void): readonly number[] {
  const sizes: number[] = [];
  const real = globalThis.ArrayBuffer;
  globalThis.ArrayBuffer = class extends real {
    constructor(size: number) {
      super(size);
      sizes.push(size);
    }
  } as typeof ArrayBuffer;
  try {
    action();
  } finally {
    globalThis.ArrayBuffer = real;
  }
  return sizes;
}

test("a JPEG of another size than announced is refused before memory is made for the announced one", () => {
  const jpeg = encodeJpeg(new Uint8Array(new ArrayBuffer(32 * 16 * 3)), 32, 16);
  const announced = (size: { width: number; height: number }) =>
    makePng({ ...size, pixelformat: fourcc("MJPG"), sizeimage: 10_000 }, jpeg);
  const large = { width: 7680, height: 4320 };
  const refused = buffersOf(() => expect(announced(large)).toBe("it is 32x16, must be 7680x4320"));
  expect(Math.max(0, ...refused)).toBeLessThan(1e6);
  const made = buffersOf(() => announced({ width: 32, height: 16 }));
  expect(Math.max(...made)).toBeGreaterThanOrEqual(32 * 16 * 4);
});

test.each([
  ["YUYV", 100, "100 bytes are no 10x6 YUYV picture"],
  ["MJPG", 3, /./],
  ["H264", 50, "a picture in H264 cannot be shown"],
] as const)(
  "a frame in %s of %i bytes is no picture, and the answer says why",
  (name, length, reason) => {
    const stream = { width, height, pixelformat: fourcc(name), sizeimage: 1000 };
    const answer = makePng(stream, new Uint8Array(length));
    expect(answer).toBeString();
    expect(String(answer)).toMatch(reason);
  },
);

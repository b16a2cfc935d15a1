// Pictures as PNG files, read back by the library that wrote them.
import { expect, test } from "bun:test";
import { decode } from "fast-png";
import { Canvas } from "../../src/format/canvas.ts";
import { formats } from "../../src/format/formats.ts";
import { pictureBytes } from "../../src/format/picture-layout.ts";
import { encodePng } from "../../src/format/png.ts";

test.each(formats)("a $name picture becomes a PNG with the colours it has", (format) => {
  for (const [width, height] of [
    [9, 7],
    [1, 1],
    [16, 4],
  ] as const) {
    const bytes = new Uint8Array(pictureBytes(format, width, height));
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 53) & 0xff;
    const canvas = new Canvas(bytes, format, width, height);
    const png = decode(encodePng(canvas));
    expect([png.width, png.height, png.channels, png.depth]).toEqual([width, height, 3, 8]);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const at = (y * width + x) * 3;
        expect([...png.data.subarray(at, at + 3)]).toEqual([...canvas.colourAt(x, y)]);
      }
    }
  }
});

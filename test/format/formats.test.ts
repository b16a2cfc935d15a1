import { expect, test } from "bun:test";
import fc from "fast-check";
import { UsageError } from "../../src/errors.ts";
import {
  formats,
  fourcc,
  fourccName,
  pixelFormat,
  pixelFormatNamed,
} from "../../src/format/formats.ts";
import { layoutOf, pictureBytes } from "../../src/format/picture-layout.ts";

/**
 * The kernel's documentation (userspace-api/media/v4l, "Image Formats") for 640x480 and 641x479 pixels: numbers
 * of the fourccs as videodev2.h makes them, bytes of a row of the first plane, bytes of the picture. A chroma
 * sample that an odd size cuts is there whole.
 */
const documented = [
  { name: "YUYV", code: 0x56595559, rows: [1280, 1284], bytes: [614_400, 615_036] },
  { name: "UYVY", code: 0x59565955, rows: [1280, 1284], bytes: [614_400, 615_036] },
  { name: "YVYU", code: 0x55595659, rows: [1280, 1284], bytes: [614_400, 615_036] },
  { name: "NV12", code: 0x3231564e, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "NV21", code: 0x3132564e, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "YU12", code: 0x32315559, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "YV12", code: 0x32315659, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "NM12", code: 0x32314d4e, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "NM21", code: 0x31324d4e, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "YM12", code: 0x32314d59, rows: [640, 641], bytes: [460_800, 461_119] },
  { name: "RGB3", code: 0x33424752, rows: [1920, 1923], bytes: [921_600, 921_117] },
  { name: "BGR3", code: 0x33524742, rows: [1920, 1923], bytes: [921_600, 921_117] },
  { name: "XR24", code: 0x34325258, rows: [2560, 2564], bytes: [1_228_800, 1_228_156] },
  { name: "RGBP", code: 0x50424752, rows: [1280, 1282], bytes: [614_400, 614_078] },
  { name: "GREY", code: 0x59455247, rows: [640, 641], bytes: [307_200, 307_039] },
  { name: "Y10", code: 0x20303159, rows: [1280, 1282], bytes: [614_400, 614_078] },
  { name: "Y12", code: 0x20323159, rows: [1280, 1282], bytes: [614_400, 614_078] },
  { name: "Y16", code: 0x20363159, rows: [1280, 1282], bytes: [614_400, 614_078] },
  { name: "P010", code: 0x30313050, rows: [1280, 1282], bytes: [921_600, 922_238] },
] as const;
const sizes = [
  [640, 480],
  [641, 479],
] as const;

test("every format of the table is documented here, and the other way round", () => {
  expect(formats.map(({ name }) => name)).toEqual(documented.map(({ name }) => name));
});

test.each(documented)(
  "$name: number, bytes per row and per picture",
  ({ name, code, rows, bytes }) => {
    expect(fourcc(name)).toBe(code);
    expect(fourccName(code)).toBe(name);
    const format = pixelFormat(code);
    if (format === undefined) throw new Error("no row");
    expect(pixelFormatNamed(name)).toBe(format);
    for (const [i, [width, height]] of sizes.entries()) {
      expect(layoutOf(format, width, height)[0]?.rowBytes).toBe(rows[i] as number);
      expect(pictureBytes(format, width, height)).toBe(bytes[i] as number);
    }
  },
);

test.each(formats)(
  "$name: planes follow each other, and no two components share a bit",
  (format) => {
    const sides = fc.integer({ min: 1, max: 24 });
    fc.assert(
      fc.property(sides, sides, (width, height) => {
        const planes = layoutOf(format, width, height);
        let end = 0;
        for (const { offset, rowBytes, rows } of planes) {
          expect(offset).toBe(end);
          end += rowBytes * rows;
        }
        expect(pictureBytes(format, width, height)).toBe(end);
        const owner = new Uint8Array(end);
        for (const [c, component] of format.components.entries()) {
          const { plane, offset, step, across, down, bits } = component;
          const mask = bits === undefined ? 0xff : ((1 << bits.count) - 1) << bits.shift;
          const layout = planes[plane];
          if (layout === undefined) throw new Error(`component ${c} has no plane`);
          for (let row = 0; row < Math.ceil(height / down); row++) {
            for (let column = 0; column < Math.ceil(width / across); column++) {
              const within = offset + column * step;
              const at = layout.offset + row * layout.rowBytes + within;
              for (const [i, part] of [mask & 0xff, mask >> 8].entries()) {
                if (part === 0) continue;
                expect(within + i).toBeLessThan(layout.rowBytes);
                expect((owner[at + i] ?? 0) & part).toBe(0);
                owner[at + i] = (owner[at + i] ?? 0) | part;
              }
            }
          }
        }
      }),
      { numRuns: 40 },
    );
  },
);

test("a variant with separate memory planes is sent as a format of the same bytes", () => {
  const variants = formats.filter(({ sentAs }) => sentAs !== undefined);
  expect(variants.length).toBe(3);
  for (const { sentAs = "", planes, components } of variants) {
    const sent = pixelFormatNamed(sentAs);
    expect(sent?.planes).toEqual([...planes]);
    expect(sent?.components).toEqual([...components]);
    expect(sent?.sentAs).toBeUndefined();
  }
});

test("a fourcc's name and number convert to each other", () => {
  const character = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
  const name = fc.array(character, { minLength: 1, maxLength: 4 }).map((list) => list.join(""));
  fc.assert(
    fc.property(name, (text) => {
      const code = fourcc(text);
      expect(code).toBeGreaterThan(0);
      expect(code).toBeLessThanOrEqual(0xffff_ffff);
      expect(fourccName(code)).toBe(text);
    }),
    { numRuns: 2000 },
  );
});

test("any number has a name in printable characters, and no two share one", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (code) => {
      expect(fourccName(code)).toMatch(/^[\x20-\x7e]+$/);
      if (!fourccName(code).startsWith("0x")) expect(fourcc(fourccName(code))).toBe(code);
    }),
    { numRuns: 2000 },
  );
  expect(fourccName(0x2020_2020)).toBe("0x20202020");
  expect(fourccName(0)).toBe("0x00000000");
  expect(fourccName(0xb231_564e)).toBe("0xb231564e"); // a big-endian variant has bit 31 set
});

test.each(["YUYVX", "YUYV ", "", "Ünï", "日本語", "a\nb", "\u0000"])("%j is no fourcc", (name) => {
  expect(() => fourcc(name)).toThrow(UsageError);
  expect(() => fourcc(name)).toThrow(/1 to 4 printable/);
});

// Which bytes of a driver's buffer are sent (rows without padding, planes one after the other), and the hello that
// describes them.
import { expect, test } from "bun:test";
import * as v from "../../ffi/linux/videodev2.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { piecesOf } from "../../src/capture/pieces.ts";
import { UnavailableError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { described, patternRows, quiet, sentBytes, wish } from "../support/camera-options.ts";
import { FakeCamera, type FakeOptions, type FakePlane } from "../support/fake-camera.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

/** A stretch of rows: plane, offset, rows, stride, bytes of a row that are picture. */
type Rows = readonly [plane: number, offset: number, rows: number, stride: number, used: number];

interface Case {
  readonly what: string;
  readonly format: string;
  readonly size: readonly [number, number];
  readonly planes: readonly FakePlane[];
  readonly multiplanar?: true;
  readonly hello: string;
  readonly rows: readonly Rows[];
}

const plane = (bytesperline: number, rows: number, extra = 0): FakePlane => ({
  bytesperline,
  sizeimage: bytesperline * rows + extra,
});

const cases: readonly Case[] = [
  {
    what: "tight YUYV",
    format: "YUYV",
    size: [32, 6],
    planes: [plane(64, 6)],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 64, 64]],
  },
  {
    what: "YUYV whose sizeimage is rounded up: sent as the driver says",
    format: "YUYV",
    size: [32, 6],
    planes: [plane(64, 6, 128)],
    hello: "32x6 YUYV 512",
    rows: [[0, 0, 8, 64, 64]],
  },
  {
    what: "YUYV without a bytesperline",
    format: "YUYV",
    size: [32, 6],
    planes: [{ sizeimage: 384, bytesperline: 0 }],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 64, 64]],
  },
  {
    what: "YUYV with a bytesperline in pixels, as broken drivers say it",
    format: "YUYV",
    size: [32, 6],
    planes: [{ sizeimage: 384, bytesperline: 32 }],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 64, 64]],
  },
  {
    what: "padded YUYV",
    format: "YUYV",
    size: [32, 6],
    planes: [plane(80, 6)],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 80, 64]],
  },
  {
    what: "padded YUYV whose last row has no padding",
    format: "YUYV",
    size: [32, 6],
    planes: [{ bytesperline: 80, sizeimage: 80 * 5 + 64 }],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 80, 64]],
  },
  {
    what: "padded RGB3",
    format: "RGB3",
    size: [5, 4],
    planes: [plane(16, 4)],
    hello: "5x4 RGB3 60",
    rows: [[0, 0, 4, 16, 15]],
  },
  {
    what: "padded NV12 in one memory plane",
    format: "NV12",
    size: [30, 8],
    planes: [{ bytesperline: 32, sizeimage: 32 * 12 }],
    hello: "30x8 NV12 360",
    rows: [
      [0, 0, 8, 32, 30],
      [0, 256, 4, 32, 30],
    ],
  },
  {
    what: "padded YU12 in one memory plane: chroma rows have half the padding",
    format: "YU12",
    size: [28, 8],
    planes: [{ bytesperline: 32, sizeimage: 32 * 12 }],
    hello: "28x8 YU12 336",
    rows: [
      [0, 0, 8, 32, 28],
      [0, 256, 4, 16, 14],
      [0, 320, 4, 16, 14],
    ],
  },
  {
    what: "padded YU12 of odd size: chroma rows are bytesperline / 2 apart and round up",
    format: "YU12",
    size: [3, 5],
    planes: [{ bytesperline: 64, sizeimage: 64 * 5 + 32 * 6 }],
    hello: "3x5 YU12 27",
    rows: [
      [0, 0, 5, 64, 3],
      [0, 320, 3, 32, 2],
      [0, 416, 3, 32, 2],
    ],
  },
  {
    what: "YV12 keeps the driver's order of planes",
    format: "YV12",
    size: [28, 8],
    planes: [{ bytesperline: 32, sizeimage: 32 * 12 }],
    hello: "28x8 YV12 336",
    rows: [
      [0, 0, 8, 32, 28],
      [0, 256, 4, 16, 14],
      [0, 320, 4, 16, 14],
    ],
  },
  {
    what: "multi-planar YUYV in its one plane",
    format: "YUYV",
    size: [32, 6],
    multiplanar: true,
    planes: [plane(64, 6)],
    hello: "32x6 YUYV 384",
    rows: [[0, 0, 6, 64, 64]],
  },
  {
    what: "multi-planar padded NV12 in one plane",
    format: "NV12",
    size: [30, 8],
    multiplanar: true,
    planes: [{ bytesperline: 32, sizeimage: 32 * 12 }],
    hello: "30x8 NV12 360",
    rows: [
      [0, 0, 8, 32, 30],
      [0, 256, 4, 32, 30],
    ],
  },
  {
    what: "NM12 is sent as NV12",
    format: "NM12",
    size: [32, 8],
    multiplanar: true,
    planes: [plane(32, 8), plane(32, 4)],
    hello: "32x8 NV12 384",
    rows: [
      [0, 0, 8, 32, 32],
      [1, 0, 4, 32, 32],
    ],
  },
  {
    what: "NM12 with rounded sizes and padded rows is sent as NV12 without either",
    format: "NM12",
    size: [30, 8],
    multiplanar: true,
    planes: [plane(32, 8, 4096), plane(48, 4, 100)],
    hello: "30x8 NV12 360",
    rows: [
      [0, 0, 8, 32, 30],
      [1, 0, 4, 48, 30],
    ],
  },
  {
    what: "NM12 in a single memory plane is NV12",
    format: "NM12",
    size: [32, 8],
    planes: [{ bytesperline: 32, sizeimage: 384 }],
    hello: "32x8 NV12 384",
    rows: [[0, 0, 12, 32, 32]],
  },
  {
    what: "NM21 is sent as NV21",
    format: "NM21",
    size: [32, 8],
    multiplanar: true,
    planes: [plane(32, 8), plane(32, 4)],
    hello: "32x8 NV21 384",
    rows: [
      [0, 0, 8, 32, 32],
      [1, 0, 4, 32, 32],
    ],
  },
  {
    what: "YM12 is sent as YU12, each plane with padding of its own",
    format: "YM12",
    size: [28, 8],
    multiplanar: true,
    planes: [plane(32, 8), plane(16, 4), plane(64, 4)],
    hello: "28x8 YU12 336",
    rows: [
      [0, 0, 8, 32, 28],
      [1, 0, 4, 16, 14],
      [2, 0, 4, 64, 14],
    ],
  },
  {
    what: "an unknown format in two planes is sent plane after plane",
    format: "QQQQ",
    size: [32, 8],
    multiplanar: true,
    planes: [
      { bytesperline: 7, sizeimage: 100 },
      { bytesperline: 9, sizeimage: 51 },
    ],
    hello: "32x8 QQQQ 151",
    rows: [
      [0, 0, 1, 100, 100],
      [1, 0, 1, 51, 51],
    ],
  },
];

function open({ format, size, planes, multiplanar }: Case, memory: "mmap" | "dmabuf") {
  const [width, height] = size;
  const device = new FakeCamera({ planes, multiplanar: multiplanar === true });
  const camera = openCamera(device, { ...wish, width, height, format, memory, buffers: 2 });
  return { device, camera };
}

test.each(cases)("$what", async (row) => {
  for (const memory of ["mmap", "dmabuf"] as const) {
    const left = await leftBehind("memfd", () => {
      const { device, camera: owned } = open(row, memory);
      using camera = owned;
      expect(described(camera.picture)).toBe(row.hello);
      camera.start();
      for (let n = 0; n < 3; n++) {
        device.produce();
        using frame = camera.next();
        if (frame === undefined) throw new Error("no frame");
        const rows = row.rows.map(([p, offset, count, stride, rowBytes]) => ({
          plane: p,
          offset,
          rows: count,
          stride,
          rowBytes,
        }));
        expect(frame.bytesused).toBe(camera.picture.sizeimage);
        expect(Buffer.compare(sentBytes(frame), patternRows(n, rows))).toBe(0);
      }
    });
    expect(left).toEqual(nothing);
  }
});

const nm12 = cases.find(({ what }) => what === "NM12 is sent as NV12") as Case;
const padded = cases.find(({ what }) => what === "padded YUYV") as Case;

test("a frame with a plane that is too short is damaged: no bytes of an older picture are sent", () => {
  for (const row of [nm12, padded]) {
    const { device, camera: owned } = open(row, "mmap");
    using camera = owned;
    camera.start();
    device.produce({ bytesused: 127 });
    device.produce();
    using frame = camera.next();
    expect(frame?.sequence).toBe(1);
    expect(camera.errors).toBe(1);
  }
});

test("a frame with a data_offset is damaged: its picture is not where the pieces are", () => {
  const yuyv = cases.find(({ what }) => what.startsWith("multi-planar YUYV")) as Case;
  for (const row of [nm12, yuyv]) {
    const { device, camera: owned } = open(row, "mmap");
    using camera = owned;
    camera.start();
    device.produce({ dataOffset: 16 });
    expect(camera.next()).toBeUndefined();
    expect(camera.errors).toBe(1);
    device.produce();
    using frame = camera.next();
    expect(frame?.sequence).toBe(1);
  }
});

const refused: readonly (FakeOptions & { what: string; format: string })[] = [
  { what: "NM12 with one plane of two", format: "NM12", planes: [plane(32, 8)] },
  { what: "YM12 with two planes of three", format: "YM12", planes: [plane(32, 8), plane(16, 4)] },
  { what: "a second plane too small", format: "NM12", planes: [plane(32, 8), plane(32, 3)] },
  {
    what: "rows beyond the second plane",
    format: "NM12",
    planes: [plane(32, 8), { sizeimage: 128, bytesperline: 33 }],
  },
  { what: "no plane", format: "NM12", planes: [] },
  {
    what: "an empty plane",
    format: "NM12",
    planes: [plane(32, 8), { sizeimage: 0, bytesperline: 32 }],
  },
  {
    what: "rows of 2^32 - 1 bytes",
    format: "NM12",
    planes: [{ sizeimage: 256, bytesperline: 0xffff_ffff }, plane(32, 4)],
  },
  {
    what: "more bytes than the hello can say",
    format: "QQQQ",
    planes: [plane(0, 0, 0xffff_ffff), plane(0, 0, 1)],
  },
];

test.each(refused)("multi-planar, $what: not available", async ({ planes = [], format }) => {
  const left = await leftBehind("memfd", () => {
    for (const memory of ["mmap", "dmabuf", "auto"] as const) {
      const device = new FakeCamera({ multiplanar: true, planes });
      const open = () => openCamera(device, { ...wish, width: 32, height: 8, format, memory });
      if (format === "NM12" && planes.length === 1 && planes[0]?.bytesperline === 32) {
        expect(open).toThrow(
          /the driver answered 256 bytes in rows of 32 for 32x8 NM12, which needs 384/,
        );
      } else expect(open).toThrow(UnavailableError);
      expect(device.callsOf("REQBUFS")).toEqual([]);
      expect(device.disposed).toBe(true);
    }
  });
  expect(left).toEqual(nothing);
});

test("a format with 200 planes is refused", () => {
  const device = new FakeCamera({ multiplanar: true, planes: [plane(32, 8)] });
  device.amend(v.VIDIOC_S_FMT, (format) => {
    format["fmt.pix_mp.num_planes"] = 200;
  });
  expect(() => openCamera(device, wish)).toThrow(UnavailableError);
});

test("pieces outside the memory they were made for are refused", () => {
  const cut = {
    picture: { width: 1, height: 1, pixelformat: fourcc("GREY"), sizeimage: 8 },
    stretches: [{ plane: 0, offset: 8, length: 8 }],
    whole: true,
    needs: [16],
  };
  expect(piecesOf(cut, [{ address: 0x1000, length: 16 }])).toEqual([
    { address: 0x1008, length: 8 },
  ]);
  expect(() => piecesOf(cut, [{ address: 0x1000, length: 15 }])).toThrow(RangeError);
  expect(() => piecesOf(cut, [])).toThrow(RangeError);
});

// The options of the capture tests for a fake camera, and the pictures they expect of it.
import { afterAll, beforeAll } from "bun:test";
import { Fd } from "../../ffi/fd.ts";
import { viewOf } from "../../ffi/libc.ts";
import type { CameraOptions } from "../../src/capture/camera.ts";
import { log } from "../../src/cli/log.ts";
import { fourccName } from "../../src/format/formats.ts";
import type { Picture } from "../../src/format/picture-layout.ts";
import type { Frame } from "../../src/frame/frame.ts";
import { type Allocator, OwnBuffer } from "../../src/frame/memory.ts";
import { patternByte } from "./fake-camera.ts";

/** The name of the fake heap's memory in /proc/self/maps. */
export const HEAP_MEMORY = "fake-heap";

/** A heap of memfds. */
export const memfdHeap = (path: string): Allocator => ({
  name: path,
  allocate: (length) => new OwnBuffer(Fd.memory(HEAP_MEMORY, length), length, false),
  [Symbol.dispose]: () => undefined,
});

export const wish: CameraOptions = {
  width: 64,
  height: 48,
  format: "YUYV",
  memory: "mmap",
  buffers: 4,
  heap: "/dev/dma_heap/system",
  openHeap: memfdHeap,
};

/** The bytes a frame would send. */
export function sentBytes(frame: Frame): Uint8Array {
  const pieces = frame.pieces.map(({ address, length }) => viewOf(address, length));
  return new Uint8Array(Buffer.concat(pieces)).subarray(0, frame.bytesused);
}

/** The driver's pattern in a picture: number of rows, distance from row to row, bytes of a row. */
export function patternRows(
  sequence: number,
  planes: readonly {
    plane: number;
    offset: number;
    rows: number;
    stride: number;
    rowBytes: number;
  }[],
): Uint8Array {
  const out: number[] = [];
  for (const { plane, offset, rows, stride, rowBytes } of planes) {
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < rowBytes; x++) {
        out.push(patternByte(sequence, plane, offset + y * stride + x));
      }
    }
  }
  return Uint8Array.from(out);
}

/** "64x48 YUYV 6144", as the hello will say it. */
export const described = ({ width, height, pixelformat, sizeimage }: Picture) =>
  `${width}x${height} ${fourccName(pixelformat)} ${sizeimage}`;

/** Turns the log off while the tests of a file run. */
export function quiet(): void {
  const { level } = log;
  beforeAll(() => {
    log.level = -1;
  });
  afterAll(() => {
    log.level = level;
  });
}

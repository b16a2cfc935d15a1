// What the sides of the benches of streams have in common: a source that needs no processor time, and the options of the
// stream code that no bench varies.
import { PacedSource } from "../../src/capture/paced.ts";
import { fourcc } from "../../src/format/formats.ts";
import type { Allocator } from "../../src/frame/memory.ts";
import type { Address } from "../../src/stream/socket/address.ts";
import type { Meter } from "./meter.ts";

interface SourceWish {
  readonly width: number;
  readonly height: number;
  readonly buffers: number;
  /** 0: as fast as buffers come back. */
  readonly fps: number;
  readonly allocator?: Allocator;
}

/** A source of grey YUYV frames that are never written again; `meter` counts them. */
export function benchSource(meter: Meter, { width, height, ...wish }: SourceWish): PacedSource {
  const sizeimage = width * height * 2;
  const picture = { width, height, pixelformat: fourcc("YUYV"), sizeimage };
  return new PacedSource({
    name: "bench",
    picture,
    ...wish,
    prepare: (buffers) => {
      for (const { mapping } of buffers) mapping.bytes.fill(0x80);
      return () => {
        meter.count();
        return sizeimage;
      };
    },
  });
}

const quiet = { stats: 0, json: false };

/** Options of `feedReceivers`. */
export const feeding = (addresses: readonly Address[], frames: number) => ({
  ...quiet,
  addresses,
  connectTimeoutMs: 3000,
  stallMs: 10_000,
  reconnect: true,
  frames,
});

/** Options of `serveSenders`. The bench starts the sender when "listening" is printed. */
export const serving = (address: Address) => ({
  ...quiet,
  address,
  allowed: () => true,
  keep: false,
  stallMs: 10_000,
  listening: () => {
    process.stderr.write("listening\n");
  },
});

// The memory that a conversion works in: only addresses of it are given to libswscale.
import { expect, test } from "bun:test";
import { addressOf } from "../../ffi/libc.ts";
import { copyAndScale } from "../../src/format/conversion.ts";
import { fourcc, type PixelFormat, pixelFormatNamed } from "../../src/format/formats.ts";
import { PictureMemory } from "../../src/format/picture-memory.ts";

const format = (name: string) => pixelFormatNamed(name) as PixelFormat;
const picture = { width: 64, height: 48, pixelformat: fourcc("YUYV"), sizeimage: 6144 };

test("a conversion keeps its memory while garbage is collected, and lets it go afterwards", async () => {
  const freed: string[] = [];
  const registry = new FinalizationRegistry((name: string) => freed.push(name));
  const collect = async () => {
    for (let i = 0; i < 20; i++) {
      Bun.gc(true);
      await Bun.sleep(2);
    }
  };
  const make = (owned: DisposableStack) => {
    const side = PictureMemory.prototype.side;
    PictureMemory.prototype.side = function (part) {
      registry.register(this.bytes, `${this.format.name}`);
      return side.call(this, part);
    };
    try {
      return copyAndScale(
        picture,
        format("YUYV"),
        new PictureMemory(format("XR24"), 64, 48),
        owned,
      );
    } finally {
      PictureMemory.prototype.side = side;
    }
  };
  const scope = { owned: new DisposableStack(), convert: undefined as unknown };
  scope.convert = make(scope.owned);
  await collect();
  expect(freed).toEqual([]);
  const frame = new Uint8Array(new ArrayBuffer(6144));
  expect((scope.convert as ReturnType<typeof make>)(addressOf(frame), 6144)).toBeUndefined();
  scope.owned.dispose();
  scope.convert = undefined;
  scope.owned = new DisposableStack();
  await collect();
  expect(freed.length).toBeGreaterThan(0);
});

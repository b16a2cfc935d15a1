// The page on cameras against the formats that a camera takes over or replaces.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { formats, fourcc } from "../../../src/format/formats.ts";
import { wantedFormat } from "../../../src/output/camera/camera-formats.ts";

test("docs/camera.md names every format that becomes YUYV", () => {
  const page = readFileSync(join(import.meta.dir, "../../../docs/camera.md"), "utf8");
  const named = /^\| (GREY[^|]*) \| YUYV/m.exec(page)?.[1]?.trim().split(", ") ?? [];
  const replaced = formats.filter(({ name }) => {
    const picture = { width: 64, height: 48, pixelformat: fourcc(name), sizeimage: 0 };
    const options = { format: undefined, size: undefined };
    return wantedFormat(picture, options).pixelformat !== picture.pixelformat;
  });
  expect(named.toSorted()).toEqual(replaced.map(({ name }) => name).toSorted());
});

// The tables of ffi/linux/virtio-media.ts against virtio-media.h, as the compiler lays it out, and against the codes
// that drivers in use have.
import { expect, test } from "bun:test";
import * as k from "../../ffi/linux/virtio-media.ts";
import type { Fields, StructType } from "../../ffi/struct.ts";
import { compareWithHeader } from "./compare.ts";

const all: unknown[] = Object.values(k);
const tables = all.filter(
  (value): value is StructType<Fields> =>
    typeof value === "object" && value !== null && "alloc" in value,
);
const codes = {
  VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER: [k.VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER, 0xc02856c0],
  VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER: [k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER, 0xfeb856c1],
  VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512: [k.VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER_512, 0xc83856c1],
  VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE: [k.VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE, 0xc00856c2],
} as const;

test("sizes, offsets and codes are the compiler's and the drivers'", () => {
  compareWithHeader("virtio-media.h", { tables, codes });
  expect(tables.length).toBe(4);
});

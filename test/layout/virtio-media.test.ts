// The tables of ffi/linux/virtio-media.ts against virtio-media.h, as the compiler lays it out, and against the codes
// that drivers in use have.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as k from "../../ffi/linux/virtio-media.ts";
import type { Fields, StructType } from "../../ffi/struct.ts";

const work = mkdtempSync(join(tmpdir(), "framepass-layout-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

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
  const ours: string[] = [];
  const questions: string[] = [];
  const ask = (c: string, value: number) => {
    ours.push(`${c} = ${value}`);
    questions.push(c);
  };
  for (const table of tables) {
    ask(`sizeof(${table.name})`, table.size);
    for (const [member, field] of Object.entries(table.fields)) {
      ask(`offsetof(${table.name}, ${member})`, field.offset);
      ask(`sizeof(((${table.name} *)0)->${member})`, field.size);
    }
  }
  for (const [name, [{ code }, known]] of Object.entries(codes)) {
    expect(code).toBe(known);
    ask(name, code);
  }
  const prints = questions.map((q) => `printf("%llu\\n", (unsigned long long)(${q}));`);
  const head = ["stdio.h", "stddef.h"].map((name) => `#include <${name}>`);
  const own = `#include "${join(import.meta.dir, "virtio-media.h")}"`;
  const program = join(work, "ask");
  writeFileSync(
    `${program}.c`,
    [...head, own, "int main(void) {", ...prints, "return 0;", "}", ""].join("\n"),
  );
  const build = Bun.spawnSync(["gcc", "-Wall", "-Werror", "-o", program, `${program}.c`]);
  expect(build.stderr.toString()).toBe("");
  const answers = Bun.spawnSync([program]).stdout.toString().trim().split("\n");
  expect(answers.length).toBe(ours.length);
  expect(ours).toEqual(questions.map((q, i) => `${q} = ${answers[i]}`));
  expect(tables.length).toBe(4);
});

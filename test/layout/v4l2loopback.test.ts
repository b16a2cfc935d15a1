// The tables of ffi/linux/v4l2loopback.ts against v4l2loopback.h, as the compiler lays it out, and against the codes that
// were read off modules in use.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as k from "../../ffi/linux/v4l2loopback.ts";
import type { Fields, StructType } from "../../ffi/struct.ts";

const work = mkdtempSync(join(tmpdir(), "framepass-layout-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const tables = [k.v4l2LoopbackConfig, k.v4l2EventClientUsage] as StructType<Fields>[];
const codes = {
  V4L2LOOPBACK_CTL_VERSION: [k.V4L2LOOPBACK_CTL_VERSION, 0x8004_7e00],
  V4L2LOOPBACK_CTL_ADD: [k.V4L2LOOPBACK_CTL_ADD, 0x4048_7e01],
  V4L2LOOPBACK_CTL_REMOVE: [k.V4L2LOOPBACK_CTL_REMOVE, 0x4004_7e02],
  V4L2LOOPBACK_CTL_QUERY: [k.V4L2LOOPBACK_CTL_QUERY, 0xc048_7e03],
  V4L2LOOPBACK_CTL_ADD_legacy: [k.V4L2LOOPBACK_CTL_ADD_legacy, 0x4c80],
  V4L2LOOPBACK_CTL_REMOVE_legacy: [k.V4L2LOOPBACK_CTL_REMOVE_legacy, 0x4c81],
  V4L2LOOPBACK_CTL_QUERY_legacy: [k.V4L2LOOPBACK_CTL_QUERY_legacy, 0x4c82],
} as const;

test("sizes, offsets and codes are the compiler's and the modules'", () => {
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
    ask(name, known);
  }
  ask("V4L2_EVENT_PRI_CLIENT_USAGE", k.V4L2_EVENT_PRI_CLIENT_USAGE);
  const prints = questions.map((q) => `printf("%llu\\n", (unsigned long long)(${q}));`);
  const head = ["stdio.h", "stddef.h"].map((name) => `#include <${name}>`);
  const own = `#include "${join(import.meta.dir, "v4l2loopback.h")}"`;
  const program = join(work, "ask");
  writeFileSync(
    `${program}.c`,
    [...head, own, "int main(void) {", ...prints, "return 0;", "}", ""].join("\n"),
  );
  const build = Bun.spawnSync(["gcc", "-Wall", "-Werror", "-o", program, `${program}.c`]);
  expect(build.stderr.toString()).toBe("");
  const answers = Bun.spawnSync([program]).stdout.toString().trim().split("\n");
  expect(ours).toEqual(questions.map((q, i) => `${q} = ${answers[i]}`));
});

test("a label is cut after 31 bytes and never in the middle of a character", () => {
  const config = k.v4l2LoopbackConfig.alloc();
  config.card_label = `${"a".repeat(30)}\u00e9`;
  expect(config.card_label).toBe("a".repeat(30));
  config.card_label = "short";
  expect(config.card_label).toBe("short");
  expect(config.min_width).toBe(0);
});

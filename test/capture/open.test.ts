import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSource } from "../../src/capture/open.ts";
import { exitStatus, UnavailableError } from "../../src/errors.ts";
import { quiet, wish } from "../support/camera-options.ts";
import { leftBehind, nothing } from "../support/resources.ts";

quiet();

test("a name is the built-in source, a recording or a device", () => {
  const directory = mkdtempSync(join(tmpdir(), "framepass-test-"));
  try {
    using painted = openSource("testsrc:gradient", wish);
    expect(painted.name).toBe("testsrc:gradient");
    const path = join(directory, "testsrc2");
    writeFileSync(path, new Uint8Array(6144));
    using raw = openSource(path, wish);
    expect(raw.name).toBe(path);
    const link = join(directory, "a link");
    symlinkSync(path, link);
    openSource(link, wish)[Symbol.dispose]();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test.each([
  ["/dev/no such video", /^open .*: ENOENT .*; connect the camera or name another with --device/],
  ["/etc/passwd/x", /^open .*: ENOTDIR .*; name a video device with --device$/],
  ["/dev", /^open \/dev: EISDIR .*; name a video device with --device$/],
  [`/${"x".repeat(300)}`, /^open .*: ENAMETOOLONG/],
  [
    "/dev/null",
    /^VIDIOC_QUERYCAP \/dev\/null: ENOTTY .*; not a V4L2 device: name another with --device$/,
  ],
] as const)("%s is not available: exit status 3, one line, nothing left", async (path, text) => {
  const left = await leftBehind("memfd", () => {
    let thrown: unknown;
    try {
      openSource(path, wish);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UnavailableError);
    expect(exitStatus(thrown)).toBe(3);
    expect((thrown as Error).message).toMatch(text);
  });
  expect(left).toEqual(nothing);
});

// The options of the camera daemon, and what it says of itself.
import { beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { cameraCapabilities } from "../../src/vhost/server.ts";
import { built, dist, TempDir } from "../support/tool.ts";

beforeAll(built, 60_000);

function run(...words: string[]): { status: number | null; out: string; err: string } {
  const program = join(dist, "vhost-user-media");
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...words], { timeout: 30_000 });
  return { status: exitCode, out: stdout.toString(), err: stderr.toString() };
}

test("--print-capabilities says what it is, without a socket or a source", () => {
  expect(run("--print-capabilities")).toEqual({
    status: 0,
    out: `${cameraCapabilities()}\n`,
    err: "",
  });
});

const long = "a card whose name has 32 bytes..";

test.each([
  { words: ["--memory", "100M"], says: "--memory must be a power of two, 16M to 4G, got 100M" },
  { words: ["--memory", "8M"], says: "--memory must be a power of two, 16M to 4G, got 8M" },
  { words: ["--memory", "8G"], says: "--memory must be a power of two, 16M to 4G, got 8G" },
  { words: ["--card", long], says: `--card must have 31 bytes at most, got "${long}"` },
  { words: ["--formats", "H264"], says: "--formats H264: testsrc has YUYV, NV12, YU12" },
])("$words is refused with status 2 before it listens", ({ words, says }) => {
  using temp = new TempDir();
  const { status, err } = run("-s", temp.file("camera"), "-d", "testsrc", ...words);
  expect({ status, err }).toEqual({
    status: 2,
    err: `vhost-user-media: error: ${says}; see vhost-user-media --help\n`,
  });
});

test("a camera that is not there ends it with status 3 before it listens", () => {
  using temp = new TempDir();
  const { status, err } = run("-s", temp.file("camera"), "-d", "/dev/video1234");
  expect(status).toBe(3);
  expect(err.trim().split("\n").length).toBe(1);
  expect(err).toContain("/dev/video1234");
});

test("one of --socket-path and --fd is needed", () => {
  expect(run("-d", "testsrc").err).toContain("exactly one of --socket-path and --fd is needed");
});

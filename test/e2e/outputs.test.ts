// Several outputs of a receiver, and cameras on a machine that has none. With devices: test/lab/scenarios/camera-out.ts.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { painted, same, type Wish, wishWords } from "../support/painted.ts";
import { freePort, listening, run, TempDir, toLoopback } from "../support/tool.ts";

const wish: Wish = { width: 64, height: 48, format: "YUYV" };

test("--output twice: both files get every frame", async () => {
  using temp = new TempDir();
  const files = [temp.file("a"), temp.file("b.y4m"), temp.file("c")];
  await using receiver = await listening([...files.flatMap((file) => ["-o", file]), "--verify"]);
  const words = [...wishWords({ ...wish, format: "YU12" }), "-n", "20"];
  expect((await run("sender", [...words, ...toLoopback(receiver.port)])).status).toBe(0);
  const { status, stderr } = await receiver.ended();
  expect([status, stderr.match(/play it:/g)?.length]).toEqual([0, 3]);
  const pictures = painted({ ...wish, format: "YU12" }, 20);
  expect(same(readFileSync(files[0] ?? ""), pictures)).toBe(true);
  expect(same(readFileSync(files[2] ?? ""), pictures)).toBe(true);
  expect(readFileSync(files[1] ?? "").length).toBeGreaterThan(pictures.length);
});

test("an output that is full does not end the others: they get every frame, and the status is 1", async () => {
  using temp = new TempDir();
  const file = temp.file("a");
  await using receiver = await listening(["-o", "/dev/full", "-o", file, "--verify"]);
  const words = [...wishWords(wish), "-n", "20", ...toLoopback(receiver.port)];
  expect((await run("sender", words)).status).toBe(0);
  const { status, stderr } = await receiver.ended();
  expect(status).toBe(1);
  expect(stderr.match(/write \/dev\/full: ENOSPC.*; the other outputs go on/g)?.length).toBe(1);
  expect(same(readFileSync(file), painted(wish, 20))).toBe(true);
});

test.each([
  {
    words: ["-o", "/dev/video4711"],
    status: 3,
    text: "--output /dev/video4711: there is no such device; --camera NAME makes one",
  },
  {
    words: ["-o", "/dev/nosuch"],
    status: 3,
    text: "--output /dev/nosuch: there is no such device, and no file is made in /dev",
  },
  { words: ["-o", "/nonexistent/film"], status: 3, text: "open /nonexistent/film: ENOENT" },
  { words: ["-o", "a", "-o", "a"], status: 2, text: "--output a is given twice" },
  { words: ["--camera", ""], status: 2, text: "--camera needs a value" },
  { words: ["--camera", "x".repeat(32)], status: 2, text: "--camera must be 1 to 31 printable" },
  { words: ["--camera-size", "640"], status: 2, text: "--camera-size must be WIDTHxHEIGHT" },
  { words: ["--camera-size", "99999x1"], status: 2, text: "--camera-size must be at most 16384" },
  { words: ["--camera-format", "H264"], status: 2, text: 'P010, MJPG, JPEG, got "H264"' },
  { words: ["--camera-format", "YUYV2"], status: 2, text: "--camera-format must be YUYV, UYVY," },
  { words: ["--camera-size", "64x48"], status: 2, text: "--camera-size is for cameras: name one" },
  { words: ["--camera-format", "NV12"], status: 2, text: "--camera-format is for cameras: name" },
  { words: ["--standby", "film"], status: 2, text: "--standby must be card, last" },
])(
  "receiver $words is refused with status $status and one line",
  async ({ words, status, text }) => {
    const ended = await run("receiver", ["-l", "127.0.0.1", "-p", freePort(), ...words]);
    expect([ended.status, ended.lines.length]).toEqual([status, 1]);
    expect(ended.lines[0]).toContain(text);
    expect(existsSync("/dev/video4711")).toBe(false);
  },
);

test.skipIf(existsSync("/dev/v4l2loopback"))(
  "--camera without the module names the command that loads it, status 3, in both flows",
  async () => {
    const share: Record<string, string[]> = { receiver: [], receiver_zc: ["--share", "fd"] };
    for (const [tool, more] of Object.entries(share)) {
      using temp = new TempDir();
      const words = ["-l", `unix:${temp.file("s")}`, "--camera", "guest A", ...more];
      const { status, lines } = await run(tool, words);
      expect(status).toBe(3);
      expect(lines.filter((line) => !line.includes("accepts frames shared by"))).toEqual([
        `${tool}: open /dev/v4l2loopback: ENOENT (no such file or directory); modprobe v4l2loopback devices=0 max_buffers=8 (Debian package v4l2loopback-dkms)`,
      ]);
    }
  },
);

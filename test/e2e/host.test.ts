// What a host may lack: devices, permission, heaps, room on the disk. One line each, with what to do; exit status 3.
import { expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DEFAULT_HEAP } from "../../src/frame/memory.ts";
import { painted, same, type Wish, wishWords } from "../support/painted.ts";
import { built, dist, freePort, listening, run, TempDir, Tool } from "../support/tool.ts";

const asRoot = process.getuid?.() === 0;
const nowhere = ["-a", "127.0.0.1", "-p", freePort()];

test("a device that is missing, or no camera, is one line with what to do and exit status 3", async () => {
  using temp = new TempDir();
  Bun.spawnSync(["mkfifo", temp.file("pipe")]);
  const cases = [
    { device: temp.file("none"), says: "ENOENT (no such file or directory); connect the camera" },
    { device: "/dev/null", says: "VIDIOC_QUERYCAP /dev/null: ENOTTY" },
    { device: temp.path, says: "EISDIR" },
    { device: temp.file("two\nlines\x1b[2J"), says: "two\\x0alines\\x1b[2J: ENOENT" },
  ];
  for (const { device, says } of cases) {
    const { status, lines } = await run("sender", ["-d", device, ...nowhere]);
    expect({ device, status, lines: lines.length }).toEqual({ device, status: 3, lines: 1 });
    expect(lines[0]).toContain(says);
    expect(lines[0]).toContain("--device");
  }
});

test("a file name that is no device asks for a recording", async () => {
  using temp = new TempDir();
  for (const name of ["nosuch.y4m", "nosuch.yuv"]) {
    const { status, lines } = await run("sender", ["-d", name, ...nowhere], { cwd: temp.path });
    expect({ name, status, lines: lines.length }).toEqual({ name, status: 3, lines: 1 });
    expect(lines[0]).toMatch(
      /^sender: open nosuch\.\w+: ENOENT .*; name a recording that can be read$/,
    );
  }
});

test("a file name that is not UTF-8 is refused, and none of another name is made", async () => {
  using temp = new TempDir();
  for (const tool of ["sender -a unix:s -d", "receiver -l unix:s -o"]) {
    const [name = "", ...words] = tool.split(" ");
    const under = ["sh", "-c", `exec "$0" "$@" "$(printf 'f\\377')"`];
    const { status, lines } = await run(name, words, { under, cwd: temp.path });
    expect({ name, status }).toEqual({ name, status: 2 });
    expect(lines).toEqual([
      `${name}: error: "f\\xff" is not UTF-8; rename the file, or name it by a link; see ${name} --help`,
    ]);
  }
  expect(readdirSync(temp.path)).toEqual([]);
});

test("a recording that is empty, damaged or too short is one line and exit status 3", async () => {
  using temp = new TempDir();
  const cases = [
    {
      name: "empty",
      bytes: "",
      says: "0 bytes are no whole number of 614,400-byte pictures (640x480 YUYV)",
    },
    { name: "empty.y4m", bytes: "", says: "not a YUV4MPEG2 file" },
    { name: "text.y4m", bytes: "hello\nworld\n", says: "not a YUV4MPEG2 file" },
    { name: "odd.y4m", bytes: "YUV4MPEG2 W2 H2 F30:1 C444\n", says: "colour space C444" },
    { name: "none.y4m", bytes: "YUV4MPEG2 W2 H2 F30:1\n", says: "no whole picture in it" },
    { name: "bad.y4m", bytes: "YUV4MPEG2 W2 H2 F30:1\nFRAMEabcdef\nxx\n", says: "" },
  ];
  for (const { name, bytes, says } of cases) {
    writeFileSync(temp.file(name), bytes);
    const { status, lines } = await run("sender", ["-d", temp.file(name), ...nowhere]);
    expect({ name, status }).toEqual({ name, status: 3 });
    expect(lines.at(-1)).toContain(says);
    expect(lines.at(-1)).toMatch(/^sender: (?!error)/);
  }
});

test("a device one may not open is one line that says how to be allowed", async () => {
  await built();
  using temp = new TempDir();
  chmodSync(temp.path, 0o755);
  copyFileSync(join(dist, "framepass"), temp.file("sender")); // where every user may run it
  writeFileSync(temp.file("film"), "x");
  chmodSync(temp.file("film"), 0);
  const under = asRoot ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  const as = { path: temp.file("sender"), under, cwd: "/" };
  const film = await run("", ["-d", temp.file("film"), ...nowhere], as);
  expect(film.lines).toHaveLength(1);
  expect(film.status).toBe(3);
  expect(film.lines[0]).toContain("EACCES (permission denied); name a recording that can be read");
  if (!asRoot) return; // a device node takes root to make
  Bun.spawnSync(["mknod", "-m", "000", temp.file("video"), "c", "81", "0"]);
  if (!existsSync(temp.file("video"))) return; // root without CAP_MKNOD may not either
  const video = await run("", ["-d", temp.file("video"), ...nowhere], as);
  expect({ status: video.status, lines: video.lines.length }).toEqual({ status: 3, lines: 1 });
  expect(video.lines[0]).toMatch(/E(ACCES|PERM) .*; add yourself to the group video/);
});

test.skipIf(!asRoot)("frames go to a pipe of another user, as under sudo", async () => {
  await built();
  using temp = new TempDir();
  chmodSync(temp.path, 0o755);
  copyFileSync(join(dist, "framepass"), temp.file("receiver"));
  const port = freePort();
  const out = temp.file("out");
  const nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
  const pipeline = ["sh", "-c", `${nobody} "$0" "$@" | cat > '${out}'`];
  await using receiver = await Tool.start("", ["-p", port, "-o", "-"], {
    path: temp.file("receiver"),
    under: pipeline,
    cwd: "/",
  });
  await receiver.says("listening on");
  const wish: Wish = { width: 320, height: 240, format: "YUYV" };
  const to = ["-a", "127.0.0.1", "-p", port];
  expect((await run("sender", [...wishWords(wish), "-n", "5", ...to])).status).toBe(0);
  expect((await receiver.ended()).stderr).toContain("done: 5 frames");
  expect(same(readFileSync(out), painted(wish, 5))).toBe(true);
});

test("a heap that was asked for must be there; without the default one memfd is used", async () => {
  const missing = await run("receiver", ["-p", freePort(), "-e", "/dev/dma_heap/nonsense"]);
  expect({ status: missing.status, lines: missing.lines.length }).toEqual({ status: 3, lines: 1 });
  expect(missing.lines[0]).toContain("open /dev/dma_heap/nonsense: ENOENT");
  expect(missing.lines[0]).toContain("--heap");
  await using receiver = await listening([]);
  expect(receiver.stderr).not.toContain("warn");
  await using talkative = await listening(["--log-level", "debug"]);
  const said = talkative.stderr.includes(`open ${DEFAULT_HEAP}: ENOENT`);
  expect(said).toBe(!existsSync(DEFAULT_HEAP));
});

test("an output that cannot be opened is one line and exit status 3", async () => {
  using temp = new TempDir();
  for (const path of [temp.path, temp.file("no/such/folder")]) {
    const { status, lines } = await run("receiver", ["-p", freePort(), "-o", path]);
    expect(status).toBe(3);
    expect(lines.at(-1)).toMatch(/: open .*: (EISDIR|ENOENT) .*; choose another --output/);
  }
});

/** A file system of `size` bytes; undefined when this user must not mount one. */
function tinyDisk(path: string, size: number): Disposable | undefined {
  mkdirSync(path);
  const mount = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${size}`, "framepass", path]);
  if (mount.exitCode !== 0) return undefined;
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", path]) };
}

test.skipIf(!asRoot)(
  "a full disk ends the receiver with exit status 1; the frames before are whole",
  async () => {
    using temp = new TempDir();
    using disk = tinyDisk(temp.file("disk"), 1 << 20);
    if (disk === undefined) throw new Error("root may not mount a tmpfs here");
    const wish: Wish = { width: 320, height: 240, format: "YUYV" }; // 153,600 bytes: six fit
    const file = temp.file("disk/raw");
    await using receiver = await listening(["-o", file, "--verify", "--keep"]);
    const sent = await run("sender", [
      ...wishWords(wish),
      "-n",
      "100",
      "-a",
      "127.0.0.1",
      "-p",
      receiver.port,
    ]);
    expect(sent.status).toBe(1);
    const { status, lines } = await receiver.ended(); // also with --keep: the disk stays full
    expect(status).toBe(1);
    const [, missing, whole] =
      /write .*: ENOSPC .*; (\d+) of the 153600 bytes of frame 7 are missing, (\d+) whole frames are there/.exec(
        lines.at(-1) ?? "",
      ) ?? [];
    expect(Number(missing)).toBeWithin(1, 153_601);
    expect(whole).toBe("6");
    expect(same(readFileSync(file), painted(wish, 6))).toBe(true);
  },
);

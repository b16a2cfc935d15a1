// `framepass devices`, --list-formats and -c of the built executables, on this machine and on a /dev of their own. Real
// drivers are asked in the guest lab (scenarios capture and vicodec).
import { expect, test } from "bun:test";
import { videoNodes } from "../../src/v4l2/find-node.ts";
import { freePort, records, run, type StartOptions, TempDir } from "../support/tool.ts";

const nowhere = ["-a", "127.0.0.1", "-p", freePort()];
const listed = (words: readonly string[], options: StartOptions = {}) =>
  run("framepass", ["devices", ...words], options);

/** A mount namespace with a /dev that has what programs need, and the nodes that `script` makes in $D. */
const ownDev = (temp: TempDir, script: string): StartOptions => ({
  under: [
    ...["unshare", "--mount", "sh", "-ec"],
    `D=${temp.path}; mount -t tmpfs none $D; cd $D
     mknod null c 1 3; mknod full c 1 7; mknod urandom c 1 9; ln -s /proc/self/fd fd
     ${script}
     cd /; mount --bind $D /dev; exec "$@"`,
    "sh",
  ],
});
const mayMount = Bun.spawnSync(["unshare", "--mount", "true"]).exitCode === 0;

test.skipIf(videoNodes().length > 0)(
  "a machine without a device gets one line that helps, an empty list and status 0",
  async () => {
    for (const words of [[], ["--json"], ["--controls"], ["--direct"]]) {
      const { status, stdout, lines } = await listed(words);
      expect({ words, status, stdout, lines: lines.length }).toEqual({
        ...{ words, status: 0, stdout: "", lines: 1 },
      });
      expect(lines[0]).toContain("no video device here: connect a camera");
    }
  },
);

test.skipIf(!mayMount)(
  "nodes that are no cameras are listed with the reason, and none of them is waited for",
  async () => {
    using temp = new TempDir();
    const dev = ownDev(
      temp,
      `mknod video0 c 1 7; mkfifo video1; echo >video2; ln -s nothing video3; mkdir video4
       mknod video10 c 81 250; mkdir -p v4l/by-id; ln -s ../../video0 v4l/by-id/usb-cam-index0`,
    );
    const { status, stdout, lines } = await listed(["--json"], dev);
    expect([status, lines]).toEqual([0, []]);
    const problems = records(stdout).map(({ node, problem }) => [node, problem]);
    expect(problems).toEqual([
      ["/dev/video0", "not a V4L2 device (VIDIOC_QUERYCAP: ENOTTY)"],
      ["/dev/video1", "not a character device"],
      ["/dev/video2", "not a character device"],
      ["/dev/video3", "no such device"],
      ["/dev/video4", "not a character device"],
      ["/dev/video10", "no driver serves this node (open: ENXIO)"],
    ]);
    expect(records(stdout)[0]?.byId).toEqual(["usb-cam-index0"]);
    const table = await listed([], dev);
    expect(table.stdout).toContain("/dev/video1\n  problem    not a character device\n");
    const named = await listed(["-d", "usb-cam-index0"], dev);
    expect([named.status, named.stdout, named.lines.length]).toEqual([3, "", 1]);
    expect(named.lines[0]).toContain("/dev/v4l/by-id/usb-cam-index0: not a V4L2 device");
    expect(await listed(["usb-cam-index0"], dev)).toEqual(named);
    const node = await listed(["/dev/video1", "--json"], dev);
    expect(records(node.stdout).map((record) => record.node)).toEqual(["/dev/video1"]);
  },
);

test("one device can be named, as a word or with -d", async () => {
  const { status, lines } = await listed(["/dev/video1", "-d", "2"]);
  expect([status, lines.length]).toEqual([2, 1]);
  expect(lines[0]).toContain('one device can be named, got "/dev/video1" and --device "2"');
});

test.skipIf(!mayMount)(
  "the -d of each tool takes a by-id name, and says which device it meant",
  async () => {
    using temp = new TempDir();
    const script = "mknod video3 c 1 7; mkdir -p v4l/by-id; ln -s ../../video3 v4l/by-id/usb-cam";
    const dev = ownDev(temp, script);
    const tools: [string, string[]][] = [
      ["sender", ["-d", "usb-cam", ...nowhere]],
      ["sender_zc", ["-d", "usb-cam", "-s", "fd", "-a", `unix:${temp.file("t")}`]],
      ["receiver_zc", ["-d", "usb-cam", "-s", "virtio-media", "-l", "127.0.0.1", "-p", freePort()]],
      ["vhost-user-video", ["-d", "usb-cam", "-s", temp.file("s"), "-b", "v4l2-decoder"]],
    ];
    for (const [name, words] of tools) {
      const { status, lines } = await run(name, words, dev);
      expect({ name, status }).toEqual({ name, status: 3 });
      expect(lines.join("\n")).toContain("/dev/v4l/by-id/usb-cam");
    }
    const { lines } = await run("sender", ["-d", "3", ...nowhere], dev);
    expect(lines[0]).toContain("VIDIOC_QUERYCAP /dev/video3: ENOTTY");
  },
);

test("a device that is named and missing is one line and status 3, also as a record", async () => {
  const { status, stdout, lines } = await listed(["-d", "nonesuch", "--json"]);
  expect([status, lines.length]).toEqual([3, 1]);
  expect(lines[0]).toContain("nonesuch: no such device; framepass devices lists what is here");
  expect(records(stdout).map(({ record, status: code }) => [record, code])).toEqual([
    ["device", undefined],
    ["failure", 3],
  ]);
});

test("--list-formats needs no address and ends with status 0", async () => {
  for (const name of ["sender", "sender_zc"]) {
    const { status, stdout, lines } = await run(name, ["-d", "testsrc", "--list-formats"]);
    expect([status, lines]).toEqual([0, []]);
    expect(stdout).toContain("YUYV UYVY YVYU NV12");
  }
  const missing = await run("sender", ["-d", "/nonesuch", "--list-formats"]);
  expect([missing.status, missing.stdout]).toEqual([3, ""]);
});

test("-c without a camera, and --list-formats of a recording, are refused in one line", async () => {
  using temp = new TempDir();
  await Bun.write(temp.file("film.y4m"), "YUV4MPEG2 W2 H2 F30:1\n");
  const cases: [string[], string][] = [
    [["-d", "testsrc", "-c", "brightness=1"], "--control is for cameras; testsrc has no controls"],
    [["-d", temp.file("film.y4m"), "-c", "a=1"], "has no controls"],
    [["-d", temp.file("film.y4m"), "--list-formats"], "is a recording"],
  ];
  for (const [words, text] of cases) {
    const { status, lines } = await run("sender", [...words, ...nowhere]);
    expect([status, lines.length]).toEqual([2, 1]);
    expect(lines[0]).toContain(text);
  }
});

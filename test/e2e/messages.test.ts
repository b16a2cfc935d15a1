// What a tool says when something is wrong: one line, with what to do, and a status. One row is one case; add yours.
import { expect, test } from "bun:test";
import { Fd, O_WRONLY } from "../../ffi/fd.ts";
import { displayNeeds } from "../../scripts/display-needs.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { freePort, listening, records, run, TempDir, Tool, toLoopback } from "../support/tool.ts";

interface Row {
  /** The case, as a user would describe it. */
  readonly when: string;
  readonly tool: string;
  /** TEMP in a word is a folder that exists; PORT is a free port. */
  readonly words: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly status: 0 | 1 | 2 | 3;
  /** Parts of the one line. */
  readonly says: readonly string[];
}

const noScreen = { DISPLAY: undefined, WAYLAND_DISPLAY: undefined, SDL_VIDEODRIVER: undefined };

const rows: readonly Row[] = [
  {
    when: "a camera is named without /dev",
    tool: "sender",
    words: "-d video0 -a 127.0.0.1 -p PORT",
    status: 3,
    says: ["open video0: ENOENT", "devices are in /dev: --device /dev/video0"],
  },
  {
    when: "a recording does not exist",
    tool: "sender",
    words: "-d nosuch.y4m -a 127.0.0.1 -p PORT",
    status: 3,
    says: ["open nosuch.y4m: ENOENT", "name a recording that can be read"],
  },
  {
    when: "a camera is to be played once",
    tool: "sender",
    words: "-d testsrc --once -a 127.0.0.1 -p PORT",
    status: 2,
    says: ["--once is for recordings, not for --device testsrc"],
  },
  {
    when: "an output's name promises a container",
    tool: "receiver",
    words: "-l unix:TEMP/s -o film.MP4",
    status: 2,
    says: [
      "--output film.MP4: frames are written raw or as .y4m, not as .mp4",
      "-o - | ffmpeg -f rawvideo -pixel_format yuyv422 -video_size 640x480 -framerate 30 -i - film.MP4",
    ],
  },
  {
    when: "share is called alone",
    tool: "framepass",
    words: "share",
    status: 2,
    says: [
      "framepass share: error: ACTION is missing (create, status)",
      "for example: framepass share create /dev/shm/frames --size 128M",
      "see framepass share --help",
    ],
  },
  {
    when: "share is given no file",
    tool: "framepass",
    words: "share create",
    status: 2,
    says: ["FILE is missing", "for example: framepass share create"],
  },
  {
    when: "share is given a file that exists",
    tool: "framepass",
    words: "share create TEMP",
    status: 3,
    says: ["EEXIST", "remove it first, or choose another name"],
  },
  {
    when: "framepass is called alone",
    tool: "framepass",
    words: "",
    status: 2,
    says: ["no tool was named; choose one of sender, receiver,", "or --help"],
  },
  {
    when: "there is no screen",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT",
    env: noScreen,
    status: 3,
    says: ["no display: SDL tried x11", "set DISPLAY or WAYLAND_DISPLAY"],
  },
  {
    when: "DISPLAY names a server that does not answer",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT",
    env: { ...noScreen, DISPLAY: ":797" },
    status: 3,
    says: ["DISPLAY=:797 cannot be reached: check that the server runs", "XAUTHORITY"],
  },
  {
    when: "DISPLAY names a server that does not answer, and the driver is chosen",
    tool: "receiver_zc_sdl",
    words: "-l unix:TEMP/s",
    env: { ...noScreen, DISPLAY: ":797", SDL_VIDEODRIVER: "x11" },
    status: 3,
    says: ["tried x11", "DISPLAY=:797 cannot be reached"],
  },
  {
    when: "WAYLAND_DISPLAY names a server that does not answer",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT",
    env: { ...noScreen, WAYLAND_DISPLAY: "wayland-9" },
    status: 3,
    says: ["WAYLAND_DISPLAY=wayland-9 cannot be reached"],
  },
  {
    when: "the video driver does not exist",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT",
    env: { ...noScreen, SDL_VIDEODRIVER: "nosuch" },
    status: 3,
    says: ["tried nosuch", "choose another SDL_VIDEODRIVER or leave it out"],
  },
  {
    when: "the folder for snapshots does not exist",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT --snapshot TEMP/none",
    env: noScreen,
    status: 2,
    says: ["--snapshot must be an existing folder, got"],
  },
  {
    when: "the folder for snapshots is below a file",
    tool: "receiver_sdl",
    words: "-l 127.0.0.1 -p PORT --snapshot /etc/passwd/folder",
    env: noScreen,
    status: 2,
    says: ["--snapshot must be an existing folder, got"],
  },
  {
    when: "the socket to listen on is below a file",
    tool: "receiver",
    words: "-l unix:/etc/passwd/s",
    status: 3,
    says: ["lstat /etc/passwd/s: ENOTDIR", "choose another path: a part of this one is no folder"],
  },
  {
    when: "the socket of a front-end is below a file",
    tool: "vhost-user-video",
    words: "-b null -s /etc/passwd/s",
    status: 3,
    says: ["lstat /etc/passwd/s: ENOTDIR", "choose another path: a part of this one is no folder"],
  },
  {
    when: "the output is below a file",
    tool: "receiver_zc",
    words: "-l unix:TEMP/s --log-level error -o /etc/passwd/film.y4m",
    status: 3,
    says: ["stat /etc/passwd/film.y4m: ENOTDIR", "choose another --output"],
  },
  {
    when: "the recording is below a file",
    tool: "sender",
    words: "-d /etc/passwd/film.y4m -a unix:TEMP/s",
    status: 3,
    says: ["open /etc/passwd/film.y4m: ENOTDIR", "name a recording that can be read"],
  },
];

/** Runs a row's tool with its words. */
async function runRow(row: Row, temp: TempDir, more: readonly string[] = []) {
  const words = row.words.replaceAll("TEMP", temp.path).replaceAll("PORT", freePort());
  const list = words.split(" ").filter((word) => word !== "");
  return await run(row.tool, [...list, ...more], row.env === undefined ? {} : { env: row.env });
}

test.each([...rows])("when $when, $tool says so in one line", async (row) => {
  if (row.env !== undefined) ensureDebian(displayNeeds);
  using temp = new TempDir();
  const { status, lines } = await runRow(row, temp);
  expect({ status, lines: lines.length }, lines.join("\n")).toEqual({
    status: row.status,
    lines: 1,
  });
  expect(lines[0]).not.toMatch(/\bat .*:\d+:\d+/); // no stack trace
  for (const part of row.says) expect(lines[0]).toContain(part);
});

test.each(rows.filter(({ tool }) => tool !== "framepass"))(
  "when $when, $tool --json writes the failure as a record with class, status and text",
  async (row) => {
    using temp = new TempDir();
    const { stdout, status } = await runRow(row, temp, ["--json"]);
    const failures = records(stdout).filter(({ record }) => record === "failure");
    expect(failures).toHaveLength(1);
    const [failure] = failures;
    expect(failure).toMatchObject({ status });
    expect(failure?.class).toBe(row.status === 2 ? "UsageError" : "UnavailableError");
    expect(String(failure?.message)).toContain((row.says[0] ?? "").split(": ").at(-1) ?? "");
  },
);

test("a failed call is a record with its call, object and errno, also when the tool goes on", async () => {
  const port = freePort();
  const refused = await run("sender", [...toLoopback(port), "--json"]);
  expect(records(refused.stdout).at(-1)).toMatchObject({
    record: "failure",
    class: "SysError",
    call: "connect",
    object: `127.0.0.1:${port}`,
    errno: "ECONNREFUSED",
    status: 1,
  });
  const camera = await run("sender", ["-d", "/dev/nosuch", "-a", "::1", "-p", port, "--json"]);
  expect(records(camera.stdout).at(-1)).toMatchObject({
    class: "UnavailableError",
    call: "open",
    object: "/dev/nosuch",
    errno: "ENOENT",
    status: 3,
  });
  await using again = await Tool.start("sender", [...toLoopback(port), "--json", "--reconnect"]);
  await again.says("trying again in 100 ms");
  await Bun.sleep(1000); // the next tries are counted, not logged
  again.signal("SIGTERM");
  const kinds = records((await again.ended()).stdout).map(({ record, status }) => [record, status]);
  expect(kinds.filter(([kind]) => kind === "failure").length).toBeGreaterThanOrEqual(2);
  for (const [kind, status] of kinds) if (kind === "failure") expect(status).toBeUndefined();
  expect(kinds.at(-1)?.[0]).toBe("stopped");
});

test("a port that is taken is a record of the bind", async () => {
  await using first = await listening();
  const second = await run("receiver", ["-l", "127.0.0.1", "-p", first.port, "--json"]);
  expect(second.status).toBe(3);
  expect(records(second.stdout).at(-1)).toMatchObject({
    record: "failure",
    call: "bind",
    errno: "EADDRINUSE",
    status: 3,
  });
});

test("records with frames on stdout are refused, and nothing is written there", async () => {
  const { status, stdout } = await run("receiver", ["-p", freePort(), "--json", "-o", "-"]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
});

test("records that a full disk does not take are one line", async () => {
  using full = Fd.open("/dev/full", O_WRONLY);
  const { status, stderr } = await run("receiver", ["-p", freePort(), "--json"], {
    stdout: full.number,
  });
  expect(status).toBe(1);
  expect(stderr.match(/error: /g)).toHaveLength(1);
  expect(stderr).toContain("error: write stdout: ENOSPC (no space left on device)");
});

test("a stdout that was closed is one line and status 1, where something would be written to it", async () => {
  const closed = { under: ["sh", "-c", `exec "$0" "$@" >&-`] };
  const listen = ["-l", "127.0.0.1", "-p", freePort()];
  for (const [name, words] of [
    ["receiver", [...listen, "-o", "-"]],
    ["receiver", [...listen, "-o", "/dev/stdout"]],
    ["receiver", [...listen, "-o", "/dev/fd/1"]],
    ["receiver", [...listen, "--json"]],
    ["receiver", ["--help"]],
    ["framepass", ["--version"]],
    ["vhost-user-video", ["--print-capabilities", "-b", "null"]],
  ] as const) {
    const { status, lines } = await run(name, words, closed);
    expect({ status, lines: lines.length }, lines.join("\n")).toEqual({ status: 1, lines: 1 });
    expect(lines[0]).toEndWith(
      "error: write stdout: EBADF (bad file descriptor); it was closed when this program was started",
    );
  }
});

test("a receiver whose stdout is closed and not used receives as before", async () => {
  const receiver = await listening([], { under: ["sh", "-c", `exec "$0" "$@" >&-`] });
  await using _receiver = receiver;
  expect((await run("sender", [...toLoopback(receiver.port), "-n", "5"])).status).toBe(0);
  expect((await receiver.ended()).status).toBe(0);
});

/** Runs a tool with a limit on its address space, in kilobytes. */
const limited = (kilobytes: number, name: string, words: readonly string[]) =>
  run(name, words, { under: ["sh", "-c", `ulimit -v ${kilobytes}; exec "$0" "$@"`] });

test("too little address space for the runtime is one line with what is needed, status 3", async () => {
  for (const kilobytes of [2_000_000, 1_500_000]) {
    for (const [name, words] of [
      ["receiver", ["-p", freePort()]],
      ["vhost-user-video", ["-b", "null", "--fd", "9"]],
      ["framepass", ["--help"]],
    ] as const) {
      const { status, lines } = await limited(kilobytes, name, words);
      expect({ status, lines }).toEqual({ status: 3, lines: [expect.any(String)] });
      expect(lines[0]).toBe(
        `framepass: 3 GB of address space are needed and this process has ${Math.floor((kilobytes * 1024) / 1e6)} MB; raise the limit (ulimit -v, RLIMIT_AS, LimitAS=)`,
      );
    }
  }
});

test("too few open files are one line with what to do", async () => {
  const under = ["sh", "-c", `ulimit -n 6; exec "$0" "$@"`];
  using temp = new TempDir();
  for (const [name, words] of [
    ["receiver", ["-l", `unix:${temp.file("s")}`]],
    ["sender", ["-d", "testsrc", "-a", `unix:${temp.file("s")}`]],
  ] as const) {
    const { status, lines } = await run(name, words, { under });
    expect({ status, lines: lines.length }, lines.join("\n")).toEqual({ status: 1, lines: 1 });
    expect(lines[0]).toMatch(
      /error: \w+[^:]*: EMFILE \(too many open files\); raise the limit of open files \(ulimit -n, LimitNOFILE=\)$/,
    );
  }
});

test("memory that the address space has no room for is one line with what to do", async () => {
  const words = [
    "-d",
    "testsrc",
    "-W",
    "8192",
    "-H",
    "8192",
    "-b",
    "32",
    ...["-a", "::1", "-p", "9"],
  ];
  const { status, lines } = await limited(3_500_000, "sender", words);
  expect({ status, lines: lines.length }, lines.join("\n")).toEqual({ status: 1, lines: 1 });
  expect(lines[0]).toMatch(
    /ENOMEM .*; use smaller or fewer buffers, free memory, or raise a limit/,
  );
});

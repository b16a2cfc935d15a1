// The tool as its users see it: options, exit status, the socket, signals, one front-end after the other.
import { beforeAll, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import type { Loop } from "../../src/loop.ts";
import { capabilities } from "../../src/vhost/server.ts";
import { backendNames } from "../../src/video/codec/codec-options.ts";
import { oneInTime } from "../support/in-time.ts";
import { listensAt } from "../support/processes.ts";
import { openDescriptors } from "../support/resources.ts";
import { built, dist } from "../support/tool.ts";
import { FrontEnd, payload } from "../support/vhost/front-end.ts";
import { onLoop } from "../support/vhost/scene.ts";

/** The executable: it starts three times as fast as the source. */
const program = [join(dist, "vhost-user-video")];
beforeAll(built, 60_000);

function run(...words: string[]): { status: number | null; out: string; err: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...program, ...words], { timeout: 30_000 });
  return { status: exitCode, out: stdout.toString(), err: stderr.toString() };
}

/** A folder of its own, with a path for a socket. */
async function inFolder(act: (socket: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "framepass-vhost-"));
  try {
    await act(join(folder, "video.sock"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function listening(socket: string): Promise<void> {
  for (let i = 0; i < 200 && !listensAt(socket); i++) await Bun.sleep(20);
  expect(lstatSync(socket).isSocket()).toBe(true);
}

function start(...words: string[]) {
  return Bun.spawn([...program, ...words], { stdout: "pipe", stderr: "pipe", timeout: 60_000 });
}

const connect = (loop: Loop, socket: string) =>
  new FrontEnd(loop, startConnect(unixAddress(socket)));

test("JSON records that cannot be written are one line and exit status 1, as in every tool", async () => {
  await inFolder(async (socket) => {
    const words = [...program, "-b", "null", "-s", socket, "--json"];
    const shell = ["sh", "-c", 'exec "$0" "$@" > /dev/full', ...words];
    const { exitCode, stderr } = Bun.spawnSync(shell, { timeout: 30_000 });
    const lines = stderr.toString().trim().split("\n");
    expect(exitCode).toBe(1);
    expect(lines.at(-1)).toBe(
      "vhost-user-video: error: write stdout: ENOSPC (no space left on device)",
    );
  });
});

test("--print-capabilities says what it is, and the discovery descriptor agrees", () => {
  const { status, out, err } = run("--print-capabilities", "-b", "null");
  expect({ status, err }).toEqual({ status: 0, err: "" });
  const said = JSON.parse(out);
  expect(said.features).toEqual(["auto", "null", "v4l2-decoder", "libavcodec"]);
  expect(out).toBe(`${capabilities(backendNames, { backend: "null", formats: ["FWHT"] })}\n`);
  const path = join(import.meta.dir, "../../docs/vhost-user/50-framepass-video.json");
  const descriptor = JSON.parse(readFileSync(path, "utf8"));
  expect(descriptor.type).toBe(said.type);
  expect(descriptor.binary).toEndWith("/vhost-user-video");
  expect(typeof descriptor.description).toBe("string");
});

test("--print-capabilities names the formats that libavcodec decodes, or fewer with --formats", () => {
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
  const formatsOf = (...words: string[]) =>
    JSON.parse(run("--print-capabilities", "-b", "libavcodec", ...words).out).formats;
  expect(formatsOf()).toEqual(["MPEG2", "MPEG4", "H264", "HEVC", "VP8", "VP9"]);
  expect(formatsOf("--formats", "vp9,H264")).toEqual(["H264", "VP9"]);
});

test("a decoder that is not there offers no formats, and says why", () => {
  const { status, out, err } = run("--print-capabilities", "-d", "/dev/video77");
  expect(status).toBe(0);
  expect(JSON.parse(out)).not.toHaveProperty("formats");
  expect(err).toContain("/dev/video77");
});

test("--version --verbose names the libraries in use and their licences", () => {
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
  expect(run("--version", "--verbose").out).toMatch(
    /^framepass .*\nlibavcodec\.so\.\d+: FFmpeg .*, .*GPL version .*; loaded from this host\nlibswscale\.so\.\d+: FFmpeg .*, libswscale .*GPL version .*; loaded from this host\n$/,
  );
});

test.each([
  { words: [], says: "exactly one of --socket-path and --fd" },
  { words: ["-b", "null", "--formats", "H264,FOO"], says: '"FOO"' },
  { words: ["--formats", "H265"], says: "you probably meant HEVC" },
  { words: ["-b", "libavcodec", "-d", "vicodec"], says: "--v4l2-device is only for" },
  { words: ["-b", "null", "-d", "vicodec"], says: "--v4l2-device is only for" },
  { words: ["-b", "null", "--threads", "1"], says: "--threads is only for --backend libavcodec" },
  { words: ["-b", "v4l2-decoder", "--max-picture", "64x64"], says: "--max-picture is only for" },
  { words: ["-b", "null", "--max-picture", "full"], says: "a size like 1920x1080" },
  { words: ["-b", "null", "--max-picture", "99999x99"], says: "16x16 to 16384x16384" },
  { words: ["-b", "null", "--max-picture", "16384x16384"], says: "at most 134217728 pixels" },
  { words: ["-b", "null", "--threads", "0"], says: "--threads" },
  { words: ["-b", "null"], says: "exactly one of --socket-path and --fd" },
  { words: ["-b", "null", "-s", "/tmp/x", "--fd", "5"], says: "exactly one" },
  { words: ["-b", "vaapi", "-s", "/tmp/x"], says: '"vaapi"' },
  { words: ["-b", "null", "-s", "/tmp/x", "--max-streams", "0"], says: "--max-streams" },
  { words: ["-b", "null", "-s", "/tmp/x", "--daemonize"], says: "--daemonize" },
  { words: ["-b", "null", "-s", "x".repeat(200)], says: "107" },
])("wrong usage $words: one line, status 2", ({ words, says }) => {
  const { status, out, err } = run(...words);
  expect({ status, out }).toEqual({ status: 2, out: "" });
  expect(err.split("\n")[0]).toContain(says);
});

test("--json: the first record names the back-end, its decoder and the formats that guests are offered", () =>
  inFolder(async (socket) => {
    await using child = start("-b", "null", "-s", socket, "--json");
    await listening(socket);
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    const [first = ""] = (await new Response(child.stdout).text()).split("\n");
    expect(JSON.parse(first)).toMatchObject({
      record: "started",
      backend: "null",
      decoder: "framepass null decoder",
      formats: ["FWHT"],
    });
  }));

test("-h and -V are what they are everywhere", () => {
  expect(run("-h").out).toContain("--socket-path");
  expect(run("-V").out).toStartWith("framepass ");
});

test("a path where something is that is no socket, or a live socket, is left alone: status 3", () =>
  inFolder(async (socket) => {
    writeFileSync(socket, "precious");
    expect(run("-b", "null", "-s", socket).status).toBe(3);
    expect(readFileSync(socket, "utf8")).toBe("precious");
    expect(run("-b", "null", "-s", "/nonexistent/folder/s").status).toBe(3);
    expect(run("-b", "null", "--fd", "77").status).toBe(3);
    expect(run("-b", "null", "--fd", "0").status).toBe(2); // open, and no socket
  }));

test.each(["SIGTERM", "SIGINT"] as const)(
  "%s ends it within 300 ms with status 0 and the socket gone",
  (signal) =>
    inFolder((socket) =>
      oneInTime(300, async () => {
        await using child = start("-b", "null", "-s", socket);
        await listening(socket);
        // A live one is not replaced.
        expect(run("-b", "null", "-s", socket).status).toBe(3);
        const fromMs = performance.now();
        child.kill(signal);
        expect(await child.exited).toBe(0);
        const tookMs = performance.now() - fromMs;
        expect(existsSync(socket)).toBe(false);
        return tookMs;
      }),
    ),
);

test("it serves one front-end after the other, also those that crash or talk nonsense, and keeps nothing of them", () =>
  inFolder(async (socket) => {
    await using child = start("-b", "null", "-s", socket, "--json");
    await listening(socket);
    await onLoop(async (loop) => {
      const held: number[] = [];
      for (let i = 0; i < 30; i++) {
        using frontEnd = connect(loop, socket);
        if (i % 3 === 2)
          frontEnd.raw(Uint8Array.from({ length: 64 }, (_, k) => (k * 37 + i) & 0xff));
        else {
          expect(await frontEnd.word("GET_FEATURES")).toBe(0x1_7000_0003n);
          if (i % 3 === 1)
            frontEnd.raw(Uint8Array.of(1, 0, 0)); // and gone
          else held.push(openDescriptors(child.pid));
        }
      }
      expect(new Set(held).size).toBe(1);
      // One after the other: when this one is answered, none of them waits for its turn any more.
      using last = connect(loop, socket);
      expect(await last.word("GET_FEATURES")).toBe(0x1_7000_0003n);
    });
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    const records = (await new Response(child.stdout).text()).trim().split("\n");
    expect(JSON.parse(records.at(-1) ?? "")).toMatchObject({ record: "stopped", front_ends: 31 });
  }));

test("a second front-end waits until the first has left, and nothing of it is mixed in", () =>
  inFolder(async (socket) => {
    await using _child = start("-b", "null", "-s", socket);
    await listening(socket);
    await onLoop(async (loop) => {
      const first = connect(loop, socket);
      expect(await first.word("GET_FEATURES")).toBe(0x1_7000_0003n);
      first.send("SET_PROTOCOL_FEATURES", payload.word(8n));
      expect(await first.acknowledged("SET_OWNER")).toBe(0n);
      using second = connect(loop, socket);
      second.send("SET_OWNER", undefined, { needReply: true }); // not negotiated by this one
      second.send("GET_FEATURES");
      await first.word("GET_FEATURES");
      const answer = second.receive(3000);
      const early = await Promise.race([answer, loop.sleep(100, new AbortController().signal)]);
      expect(early).toBeUndefined();
      first[Symbol.dispose]();
      expect((await answer)?.request).toBe(1);
    });
  }));

test("--once ends with the first front-end, status 0, and a signal works while one is there", () =>
  inFolder(async (socket) => {
    await onLoop(async (loop) => {
      await using once = start("-b", "null", "-s", socket, "--once");
      await listening(socket);
      const frontEnd = connect(loop, socket);
      expect(await frontEnd.word("GET_FEATURES")).not.toBe(0n);
      frontEnd[Symbol.dispose]();
      expect(await once.exited).toBe(0);
      expect(existsSync(socket)).toBe(false);
      await oneInTime(300, async () => {
        await using other = start("-b", "null", "-s", socket);
        await listening(socket);
        using second = connect(loop, socket);
        second.send("SET_OWNER");
        expect(await second.word("GET_FEATURES")).not.toBe(0n);
        second.raw(payload.word(1n).subarray(0, 5)); // in the middle of a message
        const fromMs = performance.now();
        other.kill("SIGTERM");
        expect(await other.exited).toBe(0);
        return performance.now() - fromMs;
      });
    });
  }));

test("--fd serves the front-end on an inherited socket and ends with it", () =>
  onLoop(async (loop) => {
    const { socketPair } = await import("../../ffi/socket.ts");
    const [ours, theirs] = socketPair();
    const child = Bun.spawn([...program, "-b", "null", "--fd", "3"], {
      stdio: ["ignore", "pipe", "pipe", theirs.number],
      timeout: 60_000,
    });
    theirs[Symbol.dispose]();
    using frontEnd = new FrontEnd(loop, ours);
    frontEnd.send("GET_FEATURES");
    expect((await frontEnd.receive(8000))?.flags).toBe(5);
    frontEnd[Symbol.dispose]();
    expect(await child.exited).toBe(0);
  }));

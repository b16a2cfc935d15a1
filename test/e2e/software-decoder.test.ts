// The executables decode with libavcodec: they start themselves again as the process of a stream's decoder.
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { ClipPlayer, timeOf } from "../support/clip-player.ts";
import { Clips, clipKinds } from "../support/clips.ts";
import { childrenOf } from "../support/processes.ts";
import { built, dist, run, TempDir, Tool } from "../support/tool.ts";
import { RemoteDevice } from "../support/vhost/remote-device.ts";
import { onLoop } from "../support/vhost/scene.ts";
import { Driver } from "../support/video-driver.ts";

const FRAMES = 30;
const VP8 = 0x1004;
const YUV420 = 4;
const MEMORY = 32 * 1024 * 1024;
const LIMIT_MS = 20_000;

/** Plays frames of a clip as a guest does. What the processes of the daemon's front-end were called meanwhile. */
async function play(daemon: Tool, socket: string): Promise<string[][]> {
  const kind = clipKinds.find(({ name }) => name === "VP8");
  if (kind === undefined) throw new Error("there is no clip in VP8");
  const { bytes, units } = new Clips().get(kind);
  const frames = units.slice(0, FRAMES).map(({ at, length }) => bytes.subarray(at, at + length));
  let end = 0;
  const ends = frames.map(({ length }) => {
    end += length;
    return end;
  });
  const called: string[][] = [];
  await onLoop(async (loop) => {
    using device = await RemoteDevice.connect(loop, startConnect(unixAddress(socket)), MEMORY);
    const driver = new Driver({ device, memory: device.memory, loop });
    for (let i = 0; i < 8; i++) driver.postEvent();
    const player = new ClipPlayer(driver, 1, {
      clip: Buffer.concat(frames),
      ends,
      ...{ coded: VP8, format: YUV420, width: 176, height: 144 },
      ...{ chunk: "frame", pieces: 1, mode: "drain" },
    });
    const { promise, resolve, reject } = loop.promise<void>();
    using _limit = loop.after(LIMIT_MS, () => reject(new Error(`stuck: ${player}`)));
    const look = () => {
      const [frontEnd = 0] = childrenOf(daemon.pid);
      for (const pid of childrenOf(frontEnd))
        called.push(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1));
    };
    device.onAnswers = () => {
      while (player.step());
      if (player.frames > 0 && called.length === 0) look();
      if (player.done) resolve();
    };
    device.onAnswers();
    await promise;
    expect(player).toMatchObject({ frames: FRAMES, errors: 0, eos: 1 });
    expect(player.times).toEqual(Array.from({ length: FRAMES }, (_, i) => timeOf(i)));
  });
  return called;
}

test.each([
  { how: "by the name of its link", file: "vhost-user-video", words: [] },
  { how: "as a subcommand", file: "framepass", words: ["vhost-user-video"] },
])("called $how, it decodes in a process of its own", async ({ file, words }) => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("s");
  const options = [...words, "-s", socket, "-b", "libavcodec", "--formats", "VP8"];
  await using daemon = await Tool.start("", options, { path: join(dist, file) });
  await daemon.says("listening");
  expect(await play(daemon, socket)).toEqual([["vhost-user-video"]]);
  await daemon.says("the front-end has left after");
  daemon.signal("SIGTERM");
  expect((await daemon.ended()).status).toBe(0);
});

test("a broken libavcodec or libswscale that is newer does not hide the one of this host", async () => {
  await built();
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]); // with its libraries
  const words = ["--version", "--verbose"];
  const usual = await run("vhost-user-video", words);
  expect(usual.stdout).toContain("libavcodec.so.");
  using temp = new TempDir();
  for (const name of ["libavcodec.so.63", "libswscale.so.10"])
    writeFileSync(temp.file(name), "this is no library, but a file with its name");
  const env = { LD_LIBRARY_PATH: temp.path };
  expect(await run("vhost-user-video", words, { env })).toEqual(usual);
  const formats = await run("vhost-user-video", ["-b", "libavcodec", "--print-capabilities"], {
    env,
  });
  expect(formats).toMatchObject({ status: 0, stderr: "" });
});

// A camera in one machine and its frames in another, with nothing but the executable in both.

import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { ffmpeg } from "../camera/applications.ts";
import { inOrder, recorded } from "../camera/recorded.ts";
import type { Guest } from "../guest.ts";
import type { Lab, Scenario } from "../lab.ts";
import { loopbackModule } from "../modules.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const payloadBytes = 1_000_000;
const frames = 300;
const frameBytes = 640 * 480 * 2;
/** The camera that the second guest has, as its administrator would load it. */
const camera = "video_nr=10 card_label=guestA exclusive_caps=1 max_buffers=8";

export const scenario: Scenario = {
  name: "two-machines",
  title: "a camera's frames cross from one guest to another",
  seconds: 65,
  limitMs: 240_000,
  besideOthers: true,
  async run(lab) {
    const [first, second] = await lab.bootPair(
      { modules: ["vivid n_devs=1 node_types=0x1"], copyExecutable: true },
      {
        modules: [`${await loopbackModule("trixie")} ${camera}`],
        packages: ["ffmpeg"],
        memoryMib: 2048,
        copyExecutable: true,
      },
    );
    await checkNetwork(lab, first, second);
    await lab.check("neither guest has more of us than the one executable", async () => {
      for (const guest of [first, second]) await guest.ok("test ! -e /dist/framepass");
    });
    await lab.check(`${frames} frames at 30 fps are what the camera captures`, () =>
      checkCamera(first, second),
    );
    await lab.check("60 stamped frames cross over IPv6 and are verified", async () => {
      const receiver = await startReceiver(second, "-l :: -p 5000 --verify");
      const source = "-d testsrc -W 320 -H 240 -r 60 -n 60";
      const sender = await new Tool(first, `sender ${source} -a fd99::2 -p 5000`).end();
      const { status, stopped } = await receiver.end();
      wanted("exit status of the sender", sender.status, 0);
      wanted("exit status of the receiver", status, 0);
      wanted("frames verified", stopped.verified, 60);
    });
    await lab.check(
      `the first guest's camera is /dev/video10 of the second, ffmpeg reads ${frames} frames`,
      () => checkCameraThere(first, second),
    );
  },
};

async function checkNetwork(lab: Lab, first: Guest, second: Guest): Promise<void> {
  await lab.check("they ping each other by name", async () => {
    await Promise.all([first.ok("ping -c 2 -i 0.2 guest2"), second.ok("ping -c 2 -i 0.2 guest1")]);
  });
  await lab.check("they ping each other over IPv6", async () => {
    await Promise.all([first.ok("ping -c 1 fd99::2"), second.ok("ping -c 1 fd99::1")]);
  });
  await lab.check("1 MB crosses over TCP unchanged", async () => {
    const payload = randomBytes(payloadBytes);
    await Bun.write(join(first.share, "payload"), payload);
    // nc ends when either of its sides ends, so its standard input must not.
    const receiver = second.start("mkfifo /tmp/open; nc -l -p 5000 <>/tmp/open | sha256sum");
    await second.until("netstat -ltn | grep -q ':5000 '");
    await first.ok("nc guest2 5000 <payload");
    const { stdout } = await receiver.result;
    return stdout.startsWith(createHash("sha256").update(payload).digest("hex"));
  });
}

async function checkCamera(first: Guest, second: Guest): Promise<void> {
  await first.ok(
    `v4l2-ctl -d0 --set-ctrl=osd_text_mode=2
     v4l2-ctl -d0 --set-fmt-video=width=640,height=480,pixelformat=YUYV \
       --stream-mmap --stream-count=1 --stream-to=captured`,
  );
  const receiver = await startReceiver(second, "-p 5000 -o received");
  const sender = await new Tool(first, `sender -a guest2 -p 5000 -r 30 -n ${frames}`).end();
  const { status, started, stopped } = await receiver.end();
  wanted("exit status of the sender", sender.status, 0);
  wanted("exit status of the receiver", status, 0);
  wanted("picture", `${started.width}x${started.height} ${started.format}`, "640x480 YUYV");
  wanted("frames sent", sender.stopped.frames, frames);
  wanted("frames received", stopped.frames, frames);
  wanted("bytes received", stopped.bytes, frames * frameBytes);
  wanted("gaps in the sequence", stopped.drops, sender.stopped.drops);
  wanted("short or damaged frames", Number(stopped.short) + Number(stopped.errors), 0);
  wanted("latency between two clocks", stopped.latency_p50_ms, undefined);
  const captured = Buffer.from(await Bun.file(join(first.share, "captured")).bytes());
  wanted("bytes captured by v4l2-ctl", captured.length, frameBytes);
  if (captured.every((byte) => byte === captured[0])) throw new Error("the camera shows nothing");
  const received = Buffer.from(await Bun.file(join(second.share, "received")).bytes());
  wanted("bytes in the file", received.length, frames * frameBytes);
  for (let i = 0; i < frames; i++) {
    const frame = received.subarray(i * frameBytes, (i + 1) * frameBytes);
    if (!frame.equals(captured)) throw new Error(`frame ${i} is not the camera's`);
  }
}

/** ffmpeg in the second guest reads the first guest's pictures from a camera. */
async function checkCameraThere(first: Guest, second: Guest): Promise<void> {
  const receiver = await startReceiver(second, "-p 5000 --keep -o /dev/video10", 120_000);
  const source = "-d testsrc -W 320 -H 240 -r 15";
  const sender = new Tool(first, `sender ${source} -a guest2 -p 5000`, 120_000);
  try {
    await sender.moves(30);
    const read = `-f v4l2 -i /dev/video10 -frames:v ${frames} -fps_mode passthrough`;
    await second.ok(
      `${ffmpeg} -nostdin -v error ${read} -f rawvideo -y /tmp/read; mv /tmp/read there`,
      { timeoutMs: 90_000 },
    );
  } finally {
    sender.kill("TERM");
    receiver.kill("TERM");
  }
  wanted("status of the receiver", (await receiver.end()).status, 130);
  const there = await recorded(second, "there", 320 * 240 * 2);
  wanted("frames", there.frames, frames);
  wanted("torn", there.torn, 0);
  wanted("frames that are not the first guest's", there.others, 0);
  wanted("in order", inOrder(there.numbers), true);
}

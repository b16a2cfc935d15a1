// The lab itself, and the smallest processor: a guest with the virtual camera, files both ways, the executable in it.

import { join } from "node:path";
import type { Scenario } from "../lab.ts";
import { wanted } from "../wanted.ts";

const frames = 10;
const frameBytes = 640 * 480 * 2;

/** The smallest model of Intel that Bun starts on: it has SSE4.2. */
const oldestCpu = "Nehalem";

export const scenario: Scenario = {
  name: "boot",
  title: "a guest boots with a virtual camera and runs the executable",
  seconds: 10,
  besideOthers: true,
  async run(lab) {
    const guest = await lab.boot({
      modules: ["vivid n_devs=1 node_types=0x1"],
      cpu: oldestCpu,
      copyExecutable: true,
    });
    await lab.check("it is up within 20 s", () => guest.bootMs < 20_000);
    await lab.check("video0 is vivid and the system heap exists", async () => {
      const device = await guest.ok("test -c /dev/dma_heap/system && v4l2-ctl -d0 --info");
      return device.includes("vivid");
    });
    await lab.check("ten captured frames come back whole", async () => {
      const format = "--set-fmt-video=width=640,height=480,pixelformat=YUYV --set-parm=60";
      const stream = `--stream-mmap --stream-count=${frames} --stream-to=captured.yuv`;
      await guest.ok(`v4l2-ctl -d0 ${format} ${stream}`);
      const bytes = await Bun.file(join(guest.share, "captured.yuv")).bytes();
      return bytes.length === frames * frameBytes && bytes.some((byte) => byte !== bytes[0]);
    });
    await lab.check("the processor has SSE4.2 and nothing newer", async () => {
      const flags = (await guest.ok("grep -m1 ^flags /proc/cpuinfo")).trim().split(" ");
      return flags.includes("sse4_2") && !flags.includes("avx") && !flags.includes("bmi1");
    });
    await lab.check("the executable runs, copied in as one file", async () => {
      await guest.ok("test ! -e /dist/framepass && framepass --version");
    });
    await lab.check("it moves the camera's frames to a file on that processor", async () => {
      const receiver = guest.start("framepass receiver -l unix:/tmp/s --stats 0 -o received.yuv");
      await guest.until("test -S /tmp/s");
      const send = "framepass sender -W 640 -H 480 -r 60 -a unix:/tmp/s --stats 0";
      await guest.ok(`${send} -n ${frames}`);
      wanted("exit status of the receiver", (await receiver.result).status, 0);
      wanted("bytes", Bun.file(join(guest.share, "received.yuv")).size, frames * frameBytes);
    });
    await lab.check("a file changed on either side is seen changed on the other", async () => {
      const path = join(guest.share, "both");
      for (const text of ["first", "second, and longer"]) {
        await Bun.write(path, text);
        if ((await guest.ok("cat both")) !== text) return false;
        await guest.ok(`echo "guest, ${text}" >both`);
        if ((await Bun.file(path).text()) !== `guest, ${text}\n`) return false;
      }
      return true;
    });
    await lab.check("output, errors and status of a script come back", async () => {
      const result = await guest.run("echo out; echo err >&2; exit 7");
      return Bun.deepEquals(result, { status: 7, stdout: "out\n", stderr: "err\n" });
    });
    await lab.check("scripts run at the same time and can be killed", async () => {
      const job = guest.start("echo started; sleep 20");
      await guest.ok("sleep 0.1");
      if (job.output().stdout !== "started\n") return false;
      job.kill("KILL");
      return (await job.result).status === 137;
    });
    await lab.check("a script that takes too long is an error", () =>
      guest.run("sleep 20", { timeoutMs: 300 }).then(
        () => false,
        (error: Error) => error.message.includes("no end in 300 ms"),
      ),
    );
    await lab.check("the monitor answers", async () =>
      (await guest.monitor("info status")).includes("running"),
    );
  },
};

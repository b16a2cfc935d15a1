// The guest of `bun run bench media`: a monitor and a driver on real rings. It looks at no picture, as the guest of media-copy.c, and
// reads what the back-end's process has cost. usage: bun media-guest-side.ts SOCKET PID WIDTH HEIGHT WARM FRAMES
import { readdirSync, readFileSync } from "node:fs";
import { monotonicUs } from "../../ffi/clock.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { fourcc } from "../../src/format/formats.ts";
import { Loop } from "../../src/loop.ts";
import { BufferMonitor } from "../support/vhost/buffer-monitor.ts";
import { DriverQueue } from "../support/vhost/driver.ts";
import { FrontEnd } from "../support/vhost/front-end.ts";
import { GuestRam } from "../support/vhost/guest-ram.ts";
import { MediaGuest } from "../support/vhost/media-guest.ts";
import { Hypervisor, monitor } from "../support/vhost/monitors.ts";
import { median } from "./bench.ts";

/** What the guest measured. */
export interface GuestFigures {
  readonly frames: number;
  readonly cpuSeconds: number;
  readonly seconds: number;
  /** From the source's time stamp to the event. */
  readonly latencyMs: number;
  readonly latencyP95Ms: number;
  /** Numbers of pictures that were left out. */
  readonly lost: number;
}

const REGION = 256 << 20;
const FPS = 60;
const [socket = "", pid = ""] = process.argv.slice(2);
const [width = 0, height = 0, warm = 0, frames = 0] = process.argv.slice(4).map(Number);

/** Seconds that a process has run, all its threads together, exact to the nanosecond. */
function cpuSeconds(of: string): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${of}/task`))
    total += Number(readFileSync(`/proc/${of}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  return total / 1e9;
}

/** The process that serves this front-end: a child of the daemon, or the back-end itself. */
const server = () =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0] || pid;

setUpLog("guest", "error");
using loop = new Loop();

await loop.run(
  (async () => {
    using owned = new DisposableStack();
    const frontEnd = owned.use(new FrontEnd(loop, startConnect(unixAddress(socket))));
    const ram = owned.use(new GuestRam());
    const [commands, events] = [64, 64].map((size) => owned.use(new DriverQueue(loop, ram, size)));
    if (commands === undefined || events === undefined) throw new Error("two queues");
    const buffers = owned.use(new BufferMonitor(loop, REGION));
    const queues = [commands, events];
    const hypervisor = new Hypervisor(monitor("QEMU"), frontEnd, { ram, queues, buffers });
    await hypervisor.realize();
    await hypervisor.activate();
    const guest = new MediaGuest({ loop, ram, commands, events, buffers });
    await guest.open();
    await guest.ioctl(v.VIDIOC_S_PARM, (q) => {
      q.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
      q["parm.capture.timeperframe.numerator"] = 1;
      q["parm.capture.timeperframe.denominator"] = FPS;
    });
    await guest.prepare(4, { width, height, pixelformat: fourcc("YUYV") });
    await guest.stream(true);
    process.stderr.write("listening\n");
    const latencies: number[] = [];
    let [cpu, startedMs, first, last] = [0, 0, 0, 0];
    for (let i = 0; i < warm + frames; i++) {
      const q = await guest.frame();
      const nowUs = monotonicUs();
      if (i === warm) {
        cpu = cpuSeconds(server());
        startedMs = performance.now();
        first = q.sequence;
      }
      if (i >= warm)
        latencies.push((nowUs - q["timestamp.tv_sec"] * 1e6 - q["timestamp.tv_usec"]) / 1000);
      last = q.sequence;
      await guest.queue(q.index);
    }
    const figures: GuestFigures = {
      frames,
      cpuSeconds: cpuSeconds(server()) - cpu,
      seconds: (performance.now() - startedMs) / 1000,
      latencyMs: median(latencies),
      latencyP95Ms: latencies.sort((a, b) => a - b)[Math.floor(frames * 0.95)] ?? Number.NaN,
      lost: last - first + 1 - frames,
    };
    await guest.stream(false);
    console.log(JSON.stringify(figures));
  })(),
);

// receiver_sdl on a bare screen: a guest with a virtio-gpu and no window system. SDL draws through DRM and GBM
// (kmsdrm), Mesa's llvmpipe is its OpenGL. The checks compare QEMU's screendump.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CARD_GROUND } from "../../../src/display/card.ts";
import { difference, type Pixels, wrongBars } from "../../support/bars.ts";
import type { Job } from "../agent.ts";
import type { Guest } from "../guest.ts";
import type { Scenario } from "../lab.ts";

/** SDL, and what SDL loads for kmsdrm: Mesa's EGL, OpenGL ES and software renderer. */
const packages = ["libsdl2-2.0-0", "libegl1", "libgles2", "libgl1-mesa-dri", "libegl-mesa0"];
const screen = { width: 1280, height: 800 };

export const scenario: Scenario = {
  name: "display",
  title: "frames reach the screen of a virtio-gpu",
  seconds: 35,
  limitMs: 400_000,
  besideOthers: true,
  async run(lab) {
    const gpu = `virtio-gpu-pci,xres=${screen.width},yres=${screen.height}`;
    const [sender, viewer] = await lab.bootPair(
      {},
      {
        modules: ["virtio-gpu", "virtio_input", "evdev"],
        packages,
        memoryMib: 2048,
        qemuArgs: ["-device", gpu, "-device", "virtio-keyboard-pci"],
      },
    );
    await lab.check("without SDL one line says which package to install", async () => {
      const { status, stderr } = await sender.run("framepass receiver_sdl -p 5000");
      const text = "receiver_sdl: libSDL2-2.0.so.0 not found; install libsdl2-2.0-0";
      if (status !== 3 || stderr.trim() !== text) throw new Error(`${status}: ${stderr}`);
    });
    await viewer.until("test -e /dev/dri/card0", 20_000);
    const environment = "export SDL_VIDEODRIVER=kmsdrm;";
    const receiver = viewer.start(
      `${environment} exec framepass receiver_sdl -p 5000 --keep --log-level debug`,
      { timeoutMs: 180_000 },
    );
    await lab.check("the window opens on the virtio-gpu by kmsdrm", async () => {
      await viewer.until("netstat -ltn | grep -q ':5000 '", 60_000);
      await until(() => /video driver KMSDRM/i.test(receiver.output().stderr), 30_000).catch(() => {
        throw new Error(receiver.output().stderr.trim().split("\n").at(-1));
      });
    });
    await lab.check("the card that waits for a sender is on the screen", async () => {
      await until(() => showsCard(viewer), 30_000);
    });
    for (const [format, width, height] of [
      ["YUYV", 640, 480],
      ["NV12", 640, 480],
      ["XR24", 1280, 800],
    ] as const) {
      await lab.check(`${format} ${width}x${height}: the screen shows the bars`, async () => {
        const sending = send(sender, 5000, format, width, height);
        await showsBars(viewer, width, height, receiver);
        sending.kill("TERM");
        await sending.result;
        await until(() => showsCard(viewer), 30_000); // otherwise the next check would see this picture
      });
    }
    await lab.check("key q on the guest's keyboard ends it with status 0", async () => {
      await viewer.monitor("sendkey q");
      const { status, stderr } = await receiver.result;
      if (status !== 0) throw new Error(`status ${status}: ${stderr.trim().split("\n").at(-1)}`);
    });
    await lab.check("-e: frames are shown out of a DMA heap's buffers", async () => {
      const heap = viewer.start(
        `${environment} exec framepass receiver_sdl -p 5001 -e /dev/dma_heap/system`,
        { timeoutMs: 60_000 },
      );
      await viewer.until("netstat -ltn | grep -q ':5001 '", 30_000);
      const sending = send(sender, 5001, "YUYV", 640, 480);
      await showsBars(viewer, 640, 480, heap);
      heap.kill("TERM");
      if ((await heap.result).status !== 130) throw new Error("not stopped by SIGTERM");
      await sending.result;
    });
  },
};

/** A sender of the test picture in one guest to the other. */
function send(guest: Guest, port: number, format: string, width: number, height: number): Job {
  const size = `-f ${format} -W ${width} -H ${height}`;
  return guest.start(`framepass sender -d testsrc -a guest2 -p ${port} ${size} -r 5`, {
    timeoutMs: 60_000,
  });
}

/** Waits until the guest's screen shows the bars. Throws what differs and the tool's last line. */
async function showsBars(guest: Guest, width: number, height: number, tool: Job): Promise<void> {
  let wrong: string | undefined = "nothing";
  const area = fitted(width, height);
  await until(async () => {
    wrong = wrongBars(await screenOf(guest), false, area);
    return wrong === undefined;
  }, 30_000).catch(() => {
    throw new Error(`${wrong}; ${tool.output().stderr.trim().split("\n").at(-1)}`);
  });
}

/** Where a picture of that size is on the screen. */
function fitted(width: number, height: number) {
  const scale = Math.min(screen.width / width, screen.height / height);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  return { x: (screen.width - w) / 2, y: (screen.height - h) / 2, width: w, height: h };
}

/** Whether the card is on the screen: its ground in a corner, and text in the middle. */
async function showsCard(guest: Guest): Promise<boolean> {
  const { at, width, height } = await screenOf(guest);
  let ink = 0;
  for (let x = 0; x < width; x++)
    for (let y = height / 2 - 60; y < height / 2 + 60; y++) if (at(x, y)[0] > 200) ink += 1;
  return difference(at(5, 5), CARD_GROUND) === undefined && ink > 1000;
}

/** What is on the guest's screen: a PPM file of the monitor's. */
async function screenOf(guest: Guest): Promise<Pixels> {
  const path = join(guest.share, "screen.ppm");
  await guest.monitor(`screendump ${path}`);
  const bytes = readFileSync(path);
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 40).toString("latin1"));
  if (head === null) throw new Error("screendump: no PPM file");
  const [width, height] = [Number(head[1]), Number(head[2])];
  const at = (x: number, y: number) => {
    const i = head[0].length + (y * width + x) * 3;
    return [bytes[i] ?? 0, bytes[i + 1] ?? 0, bytes[i + 2] ?? 0] as const;
  };
  return { width, height, at };
}

async function until(holds: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not in ${timeoutMs} ms`);
    await Bun.sleep(300);
  }
}

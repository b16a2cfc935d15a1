// OBS on a screen in memory: it shows a receiver's camera, records it, and is a camera itself.
import { join } from "node:path";
import { filled, recipe } from "../../recipes/recipe.ts";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { picture } from "./devices.ts";
import { expectBars } from "./expect-bars.ts";
import { obsSettings } from "./obs-settings.ts";

/** What OBS needs in the guest: a screen, and an OpenGL that computes. */
export const obsPackages = ["obs-studio", "obs-plugins", "xvfb", "libgl1-mesa-dri", "libegl1"];

const settings = "/tmp/obs";
/** Debian selects these libraries of FFmpeg's with links that an installation makes. */
const libraries = "/usr/lib/x86_64-linux-gnu";
/** The plugins that the two recipes use; loading the others takes an emulated processor 20 s. */
const plugins = "linux-v4l2 obs-ffmpeg obs-x264 obs-outputs obs-transitions rtmp-services";

const startMs = 240_000;
const patienceMs = 120_000;
const toolMs = 300_000;

/** Starts OBS with the recipe's line: `node` is its source, and its virtual camera goes to a free node. */
export async function checkObs(lab: Lab, guest: Guest, node: string): Promise<void> {
  const [, show = ""] = recipe("The camera device in OBS").lines;
  const [start = "", send = ""] = recipe("OBS as the camera").lines;
  for (const [path, text] of Object.entries(obsSettings(node, picture, `${settings}/film`)))
    await Bun.write(join(guest.share, "obs", path), text);
  const obs = guest.start(
    `mkdir -p ${settings}/film && cp -r obs/. ${settings} && chmod 700 ${settings}
     cd ${libraries}/obs-plugins && for file in *.so; do case " ${plugins} " in *" \${file%.so} "*) ;; *) rm $file ;; esac; done
     cd ${settings}
     Xvfb :7 -screen 0 640x480x24 -ac -nolisten tcp &
     until test -e /tmp/.X11-unix/X7; do sleep 0.1; done
     export DISPLAY=:7 HOME=${settings} XDG_RUNTIME_DIR=${settings} GALLIUM_DRIVER=softpipe
     export LD_LIBRARY_PATH=${libraries}/blas:${libraries}/lapack
     ${show} ${start.replace(/^obs/, "")}`,
    { timeoutMs: 560_000 },
  );
  await lab.check(
    "OBS shows the camera device: its recording has the pictures, in their colours",
    async () => {
      await guest.until(`test $(cat ${settings}/film/*.nut | wc -c) -gt 1000000`, startMs);
      await becomesRight(async () => {
        await guest.ok(`cp ${settings}/film/*.nut film.nut`);
        await expectBars(guest, ["-i", "film.nut"], 4);
      });
    },
  );
  await lab.check(
    "OBS is the camera: the receiver gets its pictures, in their colours",
    async () => {
      const receiver = new Tool(guest, "receiver -l unix:/tmp/obs.socket -o /tmp/obs.raw", toolMs);
      await receiver.says("listening on");
      // The device is a camera when OBS has begun to write.
      await guest.until("v4l2-ctl -d /dev/video0 --get-fmt-video | grep -q YUYV", 60_000);
      const words = filled(send, { "10.0.0.2 -p 5000": "unix:/tmp/obs.socket" });
      const sender = new Tool(guest, words, toolMs);
      await sender.moves(10, 60_000);
      const { width, height } = picture;
      const raw = `-f rawvideo -pixel_format yuyv422 -video_size ${width}x${height} -i obs.raw`;
      await becomesRight(async () => {
        await guest.ok("cp /tmp/obs.raw obs.raw");
        // OBS 29 writes YUV for HDTV into its virtual camera, whatever its settings and the size are.
        await expectBars(guest, [...raw.split(" "), "-vf", "scale=in_color_matrix=bt709"], 4);
      });
      sender.kill("TERM");
      wanted("status of the sender", (await sender.end()).status, 130);
      wanted("status of the receiver", (await receiver.end()).status, 0);
    },
  );
  obs.kill("KILL");
  await obs.result;
}

/** Calls `look` until it does not throw: a late OBS repeats its last picture. Throws the last error after `patienceMs`. */
async function becomesRight(look: () => Promise<void>): Promise<void> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await Bun.sleep(2000);
    }
  }
}

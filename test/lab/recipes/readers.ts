// GStreamer and mpv read a camera device by the lines of docs/recipes.md.
import { readdirSync } from "node:fs";
import { filled, recipe } from "../../recipes/recipe.ts";
import { ffmpeg } from "../camera/applications.ts";
import { inOrder, recorded } from "../camera/recorded.ts";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { wanted } from "../wanted.ts";
import { picture } from "./devices.ts";
import { expectBars } from "./expect-bars.ts";

export const readerPackages = [
  ...recipe("Read the camera device with GStreamer").packages,
  ...recipe("Watch the camera device in mpv").packages,
  "ffmpeg",
  "libswscale6",
];

/** With the libraries of FFmpeg that Debian selects by links. */
const environment = `export HOME=/tmp/readers ${ffmpeg.split(" ")[0]}`;

export async function checkGstreamer(lab: Lab, guest: Guest, device: string): Promise<void> {
  const [line = ""] = recipe("Read the camera device with GStreamer").lines;
  await lab.check("GStreamer reads the camera device: pictures whole and in order", async () => {
    const words = filled(line, { "/dev/video2": device, "film.raw": "/tmp/film.raw" });
    await guest.ok(`${environment}; ${words} && mv /tmp/film.raw film.raw`, { timeoutMs: 120_000 });
    const read = await recorded(guest, "film.raw", picture.width * picture.height * 2);
    wanted("frames", read.frames, 30);
    wanted("torn", read.torn, 0);
    wanted("in order", inOrder(read.numbers), true);
    if (read.numbers.length < 20) throw new Error(`${read.numbers.length} pictures of the sender`);
  });
}

export async function checkMpv(lab: Lab, guest: Guest, device: string): Promise<void> {
  const [line = ""] = recipe("Watch the camera device in mpv").lines;
  await lab.check("mpv shows the camera device in its colours", async () => {
    // Instead of a window, PNG files.
    const settings =
      "vo=image\\nvo-image-format=png\\nvo-image-outdir=mpv\\nframes=12\\nsws-allow-zimg=no\\n";
    await guest.ok(
      `${environment}; mkdir -p mpv $HOME/.config/mpv; printf '${settings}' >$HOME/.config/mpv/mpv.conf
       ${filled(line, { "/dev/video2": device })}`,
      { timeoutMs: 120_000 },
    );
    const files = readdirSync(`${guest.share}/mpv`);
    if (files.length < 10) throw new Error(`${files.length} pictures`);
    await expectBars(guest, ["-i", "mpv/%08d.png"], 4);
  });
}

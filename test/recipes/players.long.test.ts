// The recipes of docs/recipes.md that show the pipe in a player's window: a screenshot has testsrc's colours.
import { expect, test } from "bun:test";
import { wrongBars } from "../support/bars.ts";
import { until } from "../support/until.ts";
import { Xvfb } from "../support/xvfb.ts";
import { Kitchen } from "./kitchen.ts";
import { recipe } from "./recipe.ts";

const players = ["Watch in ffplay", "Watch in mpv", "Watch with GStreamer"];

test.each(players)("%s: the window shows the pictures in their colours", async (title) => {
  const [line = ""] = recipe(title).lines;
  await using screen = await Xvfb.start(800, 600);
  await using kitchen = await Kitchen.of(title, { DISPLAY: screen.display });
  // A screen in memory has no GPU. Without one mpv draws by zimg, which takes 480 lines for NTSC and changes its primaries, too.
  await Bun.write(kitchen.file("home/.config/mpv/mpv.conf"), "vo=x11\nsws-allow-zimg=no\n");
  const playing = kitchen.start(line);
  const sending = kitchen.send("-r 15");
  let wrong: string | undefined = "no window";
  const look = async () => {
    const [window] = await screen.x.windows();
    if (window === undefined) return undefined;
    wrong = wrongBars(await screen.x.shot(window.id), false);
    return wrong === undefined ? true : undefined;
  };
  // A player that starts, or changes its window's size, has no such picture yet.
  await until("the picture", 30_000, () => look().catch(() => undefined)).catch((error) => {
    throw new Error(`${error.message}: ${wrong}`);
  });
  sending.signal("SIGTERM");
  expect((await sending.ended()).status).toBe(130);
  const { status, stderr } = await playing.ended();
  expect([status, stderr]).toEqual([0, expect.stringContaining("receiver: done")]);
});

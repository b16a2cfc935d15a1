// The recipes of docs/recipes.md for ffmpeg: films, a camera made of a film, motion, timelapse.
import { expect, test } from "bun:test";
import { same } from "../support/painted.ts";
import { Kitchen } from "./kitchen.ts";
import { decoded, edges, expectNumbers, series } from "./pictures.ts";
import { recipe } from "./recipe.ts";

test("ffmpeg: a film made of the pipe has every picture, in its colours", async () => {
  const { title, lines } = recipe("Record into a compressed film with ffmpeg");
  await using kitchen = await Kitchen.of(title);
  const [record = ""] = lines;
  const recording = kitchen.start(record);
  await kitchen.send("-n 60 -r 0").done();
  await recording.done();
  expectNumbers(await decoded(kitchen.file("."), "-i", "film.mkv"), series(60));
});

test("ffmpeg: a transcoded recording has every picture, and the rate", async () => {
  const { title, lines } = recipe("Transcode a recording with ffmpeg");
  await using kitchen = await Kitchen.of(title);
  const [record = "", transcode = ""] = lines;
  const recording = kitchen.start(record);
  await kitchen.send("-n 50 -r 25").done();
  await recording.done();
  await kitchen.start(transcode).done();
  const made = await decoded(kitchen.file("."), "-i", "film.mp4");
  // A busy machine may have dropped pictures on the way to the recording.
  expect(edges(made)).toEqual(edges(await decoded(kitchen.file("."), "-i", "film.y4m")));
  expect(made.length).toBeGreaterThan(25);
  const rate =
    "for film in film.*; do ffprobe -v error -show_entries stream=r_frame_rate -of csv=p=0 $film; done";
  const rates = (await kitchen.start(rate).done()).trim().split("\n");
  expect([rates.length, new Set(rates).size]).toEqual([2, 1]);
});

test("ffmpeg: the pictures of a film that is sent arrive as ffmpeg decodes them", async () => {
  const { title, lines } = recipe("Send what ffmpeg decodes");
  await using kitchen = await Kitchen.of(title);
  const film = "ffmpeg -v error -f lavfi -i testsrc2=s=320x240:r=50:d=1 -c:v libx264 film.mkv";
  await kitchen.start(film).done();
  const receiving = kitchen.start("receiver -p 5000 -o raw");
  await kitchen
    .start("until grep -q :$(printf %04X 5000) /proc/net/tcp; do sleep 0.05; done")
    .done();
  await kitchen.start(lines[0] ?? "").done();
  await receiving.done();
  await kitchen.start("ffmpeg -v error -i film.mkv -pix_fmt yuv420p -f rawvideo wanted").done();
  const [got, wanted] = await Promise.all(
    ["raw", "wanted"].map((name) => Bun.file(kitchen.file(name)).bytes()),
  );
  expect(wanted?.length).toBe(50 * 320 * 240 * 1.5);
  expect(same(got ?? new Uint8Array(), wanted ?? new Uint8Array())).toBe(true);
});

test("motion detection says when the picture moves and when it is still, also with a little noise", async () => {
  const { title, lines } = recipe("Motion detection");
  await using kitchen = await Kitchen.of(title);
  // Still for two seconds, then a box that moves for two, then still: all with noise.
  const box = "overlay=x='if(between(n,60,119),4*(n-60),if(gt(n,119),240,0))'";
  const noise = "noise=alls=2:allf=t,format=yuv422p";
  const film = `color=gray:s=640x480:r=30:d=6[a];color=white:s=120x120:r=30:d=6[b];[a][b]${box},${noise}`;
  await kitchen.start(`ffmpeg -v error -f lavfi -i "${film}" film.y4m`).done();
  const detecting = kitchen.start(lines[0] ?? "");
  await kitchen.send("--once -r 0", "film.y4m").done();
  const said = (await detecting.done()).trim().split("\n");
  expect(said.map((line) => line.replace(/ \S+$/, ""))).toEqual([
    "still since second",
    "motion since second",
    "still since second",
  ]);
  const [start, moves, still] = said.map((line) => Number(line.split(" ").at(-1)));
  expect(start).toBe(0);
  expect(moves).toBeWithin(2, 2.6); // when the box has come far enough to change 1 %
  expect(still).toBeWithin(3.4, 4.2);
});

test("timelapse keeps one picture of each 300, and makes a film of them", async () => {
  const { title, lines } = recipe("Timelapse");
  await using kitchen = await Kitchen.of(title);
  const [lapse = "", film = ""] = lines;
  const lapsing = kitchen.start(lapse);
  await kitchen.send("-n 602 -r 0").done();
  await lapsing.done();
  const numbers = [0, 300, 600];
  expectNumbers(await decoded(kitchen.file("."), "-i", "lapse-%04d.png"), numbers);
  await kitchen.start(film).done();
  expectNumbers(await decoded(kitchen.file("."), "-i", "lapse.mp4"), numbers);
});

// The recipe of docs/recipes.md that sends what GStreamer makes.
import { expect, test } from "bun:test";
import { same } from "../support/painted.ts";
import { Kitchen } from "./kitchen.ts";
import { recipe } from "./recipe.ts";

test("GStreamer: the pictures that a pipeline makes arrive as it makes them", async () => {
  const { title, lines } = recipe("Send what GStreamer makes");
  await using kitchen = await Kitchen.of(title);
  const [line = ""] = lines;
  await using receiving = kitchen.start("receiver -p 5000 -o raw");
  await kitchen.listening();
  await kitchen.start(line).done();
  await receiving.done();
  const [pipeline = ""] = line.split(" ! y4menc");
  await kitchen.start(`${pipeline.replace("is-live=true ", "")} ! filesink location=wanted`).done();
  const [got, wanted] = await Promise.all(
    ["raw", "wanted"].map((name) => Bun.file(kitchen.file(name)).bytes()),
  );
  expect(wanted?.length).toBe(60 * 640 * 480 * 1.5);
  expect(same(got ?? new Uint8Array(), wanted ?? new Uint8Array())).toBe(true);
});

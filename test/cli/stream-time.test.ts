import { expect, test } from "bun:test";
import { progress, StreamTime } from "../../src/cli/stream-time.ts";
import { fitted } from "../../src/cli/terminal.ts";

test("a progress line has a bar, the total, per cent and the time left", () => {
  expect(progress(0, 300, 0)).toEqual(["[..........] 0/300 0 %"]);
  expect(progress(120, 300, 30)).toEqual(["[####......] 120/300 40 %", "6 s left"]);
  expect(progress(299, 300, 30)).toEqual(["[#########.] 299/300 99 %", "1 s left"]);
  expect(progress(300, 300, 30)).toEqual(["[##########] 300/300 100 %", "0 s left"]);
  expect(progress(1, 3751, 30)[1]).toBe("2:05 min left");
  expect(progress(0, 360_000, 30)[1]).toBe("3:20:00 h left");
});

test("a status line has the parts that fit, whole, and leaves the last column free", () => {
  const parts = ["[####......] 120/300 40 %", "6 s left", "29.97 fps", "18.4 MB/s", "0 dropped"];
  expect(fitted(parts, 200)).toBe(parts.join(", "));
  for (let width = 1; width < 80; width++) {
    const line = fitted(parts, width);
    expect(line.length).toBeLessThan(width);
    for (const part of line === "" ? [] : line.split(", ")) expect(parts).toContain(part);
  }
  expect(fitted(parts, 40)).toBe("[####......] 120/300 40 %, 6 s left");
});

test("a stream whose frames were all taken back has a rate of 0, not less", async () => {
  const time = new StreamTime();
  time.streaming = true;
  time.frame();
  await Bun.sleep(2);
  time.frame();
  expect(time.fps(0)).toBe(0);
  expect(time.fps(2)).toBeGreaterThan(0);
});

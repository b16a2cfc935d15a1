// The parts of the guest lab that need no guest. What boots is shown by `bun run lab boot`.

import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { newest } from "./kernel.ts";
import type { Scenario } from "./lab.ts";
import { LineSocket } from "./line-socket.ts";
import { Scratch } from "./scratch.ts";
import { runSideBySide } from "./side-by-side.ts";

test("the newest kernel is found number by number, not letter by letter", () => {
  const versions = ["6.12.9+deb12-amd64", "6.12.117+deb12-amd64", "6.12.22+deb12-amd64"];
  expect(newest(versions)).toBe("6.12.117+deb12-amd64");
  expect(newest([])).toBeUndefined();
});

test("a scratch directory is gone with its owner, files and all", async () => {
  const scratch = new Scratch();
  await Bun.write(join(scratch.path, "deep/file"), "x");
  scratch[Symbol.dispose]();
  scratch[Symbol.dispose]();
  expect(existsSync(scratch.path)).toBe(false);
});

test("lines arrive whole however they are cut, and are sent once the peer is there", async () => {
  using scratch = new Scratch();
  const path = join(scratch.path, "socket");
  const got: string[] = [];
  const all = Promise.withResolvers<void>();
  using socket = new LineSocket(path, (line) => {
    got.push(line);
    if (got.length === 3) all.resolve();
  });
  socket.send("early");
  const heard = Promise.withResolvers<string>();
  const peer = await Bun.connect({
    unix: path,
    socket: { data: (_peer, bytes) => heard.resolve(bytes.toString()) },
  });
  expect(await heard.promise).toBe("early\n");
  for (const piece of ["one\ntw", "o\r\n", "three", "\n"]) {
    peer.write(piece);
    await Bun.sleep(5);
  }
  await all.promise;
  expect(got).toEqual(["one", "two", "three"]);
  peer.end();
});

test("scenarios run two at a time, the longest first, after those that need the machine for themselves", async () => {
  const row = (name: string, limitMs?: number, besideOthers?: boolean): Scenario => ({
    ...{ name, title: name, run: async () => undefined },
    ...(limitMs !== undefined && { limitMs }),
    ...(besideOthers !== undefined && { besideOthers }),
  });
  const scenarios = [
    ...[row("short", undefined, true), row("alone", 10), row("long", 30, true)],
    ...[row("middle", 20, true), row("alone too")],
  ];
  const log: string[] = [];
  const shortEnded = Promise.withResolvers<void>();
  const counts = await runSideBySide(scenarios, async ({ name }) => {
    log.push(`${name} begins`);
    await (name === "long" ? shortEnded.promise : Bun.sleep(1));
    log.push(`${name} ends`);
    if (name === "short") shortEnded.resolve();
    return { passed: 2, failed: name === "short" ? 1 : 0 };
  });
  expect(log).toEqual([
    ...["alone begins", "alone ends", "alone too begins", "alone too ends"],
    ...["long begins", "middle begins", "middle ends", "short begins", "short ends", "long ends"],
  ]);
  expect(counts).toEqual({ passed: 10, failed: 1 });
});

test("every scenario file exports a scenario of its own name", async () => {
  const dir = join(import.meta.dir, "scenarios");
  for (const file of readdirSync(dir)) {
    const { scenario } = await import(join(dir, file));
    expect(`${scenario.name}.ts`).toBe(file);
  }
});

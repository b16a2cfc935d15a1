// The parts of the guest lab that need no guest. What boots is shown by `bun run lab boot`.

import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { newest } from "./kernel.ts";
import { LineSocket } from "./line-socket.ts";
import { Scratch } from "./scratch.ts";

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

test("every scenario file exports a scenario of its own name", async () => {
  const dir = join(import.meta.dir, "scenarios");
  for (const file of readdirSync(dir)) {
    const { scenario } = await import(join(dir, file));
    expect(`${scenario.name}.ts`).toBe(file);
  }
});

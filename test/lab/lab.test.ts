// The parts of the guest lab that need no guest. What boots is shown by `bun run lab boot`.

import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { loadLines } from "./initramfs.ts";
import { newest, payload } from "./kernel.ts";
import type { Scenario } from "./lab.ts";
import { LineSocket } from "./line-socket.ts";
import { Scratch } from "./scratch.ts";
import { runSideBySide } from "./side-by-side.ts";
import { parseGrants } from "./xen-grants.ts";

test("the newest kernel is found number by number, not letter by letter", () => {
  const versions = ["6.12.9+deb12-amd64", "6.12.117+deb12-amd64", "6.12.22+deb12-amd64"];
  expect(newest(versions)).toBe("6.12.117+deb12-amd64");
  expect(newest([])).toBeUndefined();
});

test("what is packed in a bzImage is found where its header says, and must be packed by zstd", () => {
  const elf = new TextEncoder().encode("an ELF file");
  const packed = Bun.zstdCompressSync(elf);
  const image = new Uint8Array(new ArrayBuffer(4096));
  const header = new DataView(image.buffer);
  header.setUint8(0x1f1, 3); // sectors of the setup code, without the first one
  header.setUint32(0x248, 100, true);
  header.setUint32(0x24c, packed.length + 4, true);
  const at = (3 + 1) * 512 + 100;
  image.set(packed, at);
  expect(Bun.zstdDecompressSync(payload(image)).toString()).toBe("an ELF file");
  image[at] = 0x1f;
  expect(() => payload(image)).toThrow("the kernel begins with 1fb52ffd, must be zstd");
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
  const row = (name: string, seconds: number, besideOthers = false): Scenario => ({
    ...{ name, title: name, seconds, besideOthers, run: async () => undefined },
  });
  const scenarios = [
    ...[row("short", 5, true), row("alone", 10), row("long", 30, true)],
    ...[row("middle", 20, true), row("alone too", 40)],
  ];
  const log: string[] = [];
  const printed: string[] = [];
  const shortEnded = Promise.withResolvers<void>();
  const runOne = async ({ name }: Scenario) => {
    log.push(`${name} begins`);
    await (name === "long" ? shortEnded.promise : Bun.sleep(1));
    log.push(`${name} ends`);
    if (name === "short") shortEnded.resolve();
    return { passed: 2, failed: name === "short" ? 1 : 0 };
  };
  const counts = await runSideBySide(scenarios, runOne, (line) => printed.push(line));
  expect(log).toEqual([
    ...["alone begins", "alone ends", "alone too begins", "alone too ends"],
    ...["long begins", "middle begins", "middle ends", "short begins", "short ends", "long ends"],
    ...["short begins", "short ends"],
  ]);
  expect(counts).toEqual({ passed: 10, failed: 1 });
  expect(printed).toEqual(["== second run, one at a time: short"]);
});

test("a scenario that fails runs once more on its own, and that run decides", async () => {
  const rows = ["steady", "late once", "broken"].map((name) => ({
    ...{ name, title: name, seconds: 1, besideOthers: true, run: async () => undefined },
  }));
  const runs = new Map<string, number>();
  const runOne = async ({ name }: Scenario) => {
    const run = (runs.get(name) ?? 0) + 1;
    runs.set(name, run);
    const failed = name === "broken" || (name === "late once" && run === 1) ? 1 : 0;
    return { passed: 3 - failed, failed };
  };
  const counts = await runSideBySide(rows, runOne, () => undefined);
  expect(Object.fromEntries(runs)).toEqual({ steady: 1, "late once": 2, broken: 2 });
  expect(counts).toEqual({ passed: 8, failed: 1 });
});

test("when many scenarios fail nothing runs a second time", async () => {
  const rows = ["a", "b", "c", "d"].map((name) => ({
    ...{ name, title: name, seconds: 1, run: async () => undefined },
  }));
  let runs = 0;
  const counts = await runSideBySide(rows, async () => {
    runs += 1;
    return { passed: 0, failed: 1 };
  });
  expect(runs).toBe(4);
  expect(counts).toEqual({ passed: 0, failed: 4 });
});

test("every scenario file exports a scenario of its own name", async () => {
  const dir = join(import.meta.dir, "scenarios");
  for (const file of readdirSync(dir)) {
    const { scenario } = await import(join(dir, file));
    expect(`${scenario.name}.ts`).toBe(file);
  }
});

test("modules are loaded after those they need, each file once, with the parameters behind its own name", () => {
  const order = new Map([
    ["vivid", ["videodev.ko", "vivid.ko"]],
    ["uvcvideo", ["videodev.ko", "uvcvideo.ko"]],
  ]);
  const lines = loadLines({ path: "", order }, ["vivid n_devs=2", "uvcvideo"]);
  expect(lines).toBe("/modules/videodev.ko\n/modules/vivid.ko n_devs=2\n/modules/uvcvideo.ko\n");
});

test("Xen's list of mapped grants: whose page, who maps it, and whether only to read", () => {
  // Lines of Xen 4.17's console, one of dom0's kernel, and a last row as it would be with a mapping for writing.
  const text = `(XEN) gnttab_usage_print_all [ key 'g' pressed
(XEN) grant-table for remote d0 (v1)
(XEN) no active grant table entries
(XEN)       -------- active --------       -------- shared --------
(XEN) [ref] localdom mfn      pin          localdom gmfn     flags
(XEN) grant-table for remote d1 (v1)
(XEN)   2 frames (64 max), 0 maptrack frames (1024 max)
(XEN) [0x208]      0 0x5bd9d 0x00000001          0 0x05bd9d 0x19
[   23.370505] clocksource: 'tsc' is current clocksource.
(XEN) [0x20a]      2 0x5953a 0x00000200          2 0x05953a 0x0d
(XEN) [0x20b]      2 0x5953b 0x00000201          2 0x05953b 0x1d
(XEN) gnttab_usage_print_all ] done
`;
  expect(parseGrants(text)).toEqual([
    { owner: 1, user: 0, reference: 0x208, readOnly: false },
    { owner: 1, user: 2, reference: 0x20a, readOnly: true },
    { owner: 1, user: 2, reference: 0x20b, readOnly: false },
  ]);
});

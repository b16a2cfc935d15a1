// Resources in scattered pages, as the Linux driver makes them: a decoder works on them in place all the same. What cannot be one
// stretch is copied once, and the log says why.
import { expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { Fd } from "../../../ffi/fd.ts";
import type { StitchedMapping } from "../../../ffi/stitched-mapping.ts";
import { MAX_ENTRIES } from "../../../src/video/resource.ts";
import { Stretches } from "../../../src/video/stretches.ts";
import * as s from "../../../src/video/structs.ts";
import { ClipPlayer, timeOf } from "../../support/clip-player.ts";
import {
  BITSTREAM,
  feed,
  frame,
  gather,
  H,
  PICTURE,
  type Rig,
  type RigOptions,
  readParams,
  rig,
  scatter,
  W,
  want,
} from "../../support/decoder-rig.ts";
import type { FakeOptions } from "../../support/fake-decoder.ts";
import { FakeDmabufs } from "../../support/fake-dmabufs.ts";
import { logged } from "../../support/logged.ts";
import { leftBehind, mappingsOf, nothing } from "../../support/resources.ts";
import { TempDir } from "../../support/tool.ts";
import { BASE } from "../../support/video-driver.ts";

const MEMORY = 8 * 1024 * 1024;
const GUEST = "memfd:guest";
const OUTPUTS = [11, 12, 13];
type Entries = ReturnType<typeof scatter>;

/** The counters at the end of each stream. */
const counters = (said: readonly string[]) =>
  said.flatMap((line) => /\d+ pictures, .*/.exec(line)?.[0] ?? []);

/** A stream whose inputs 1 to 3 and outputs 11 to 13 lie in scattered pages; nothing queued. */
function scattered(options: FakeOptions = {}, more: RigOptions = {}): Rig & { entries: Entries[] } {
  const r = rig({ userPointers: true, ...options }, more);
  const entries: Entries[] = [];
  make(r, entries);
  return Object.assign(r, { entries });
}

/** Makes the resources again, in new pages. */
function make(r: Rig, entries: Entries[]): void {
  r.driver.destroyAll(1, s.INPUT);
  r.driver.destroyAll(1, s.OUTPUT);
  const one = (queue: number, id: number, bytes: number) => {
    const pages = scatter(r.driver, bytes);
    entries[id] = pages;
    expect(r.driver.resource(1, queue, id, [pages]).code).toBe(0x200);
    return pages[0]?.address ?? 0n;
  };
  r.inputs.splice(0, r.inputs.length, ...[1, 2, 3].map((id) => one(s.INPUT, id, BITSTREAM)));
  r.outputs.splice(0, r.outputs.length, ...OUTPUTS.map((id) => one(s.OUTPUT, id, PICTURE)));
}

/** Whether an output holds the whole picture of the frame `value`. */
const holds = (r: Rig & { entries: Entries[] }, id: number, value: number) =>
  gather(r.driver, r.entries[id] ?? [], PICTURE).every((byte, i) => byte === ((value + i) & 0xff));

/** Decodes frames `from` to `from + count` and checks every byte of every picture. */
function decode(r: Rig & { entries: Entries[] }, from: number, count: number): void {
  for (let n = from; n < from + count; n++) {
    const id = OUTPUTS[n % 3] ?? 0;
    feed(r, 1 + (n % 3), frame(n % 200), BigInt(n));
    if (n === from) readParams(r);
    const sent = want(r, id);
    expect([sent.timestamp, sent.size, sent.flags]).toEqual([BigInt(n), PICTURE, 0]);
    expect(holds(r, id, n % 200)).toBe(true);
  }
}

test("300 pictures in scattered pages: none is copied, and every byte is right, also after a stop", () => {
  const said = logged(() => {
    using r = scattered();
    decode(r, 1, 150);
    r.driver.device.pause();
    r.driver.device.resume();
    decode(r, 151, 150);
    expect(r.fake.pins).toBe(6);
    r.driver.memory.checkGuards();
  });
  expect(counters(said)).toEqual(["300 pictures, 0 copied; 300 buffers of bitstream, 0 copied"]);
  expect(said.filter((line) => line.includes("USERPTR, on guest memory")).length).toBe(2);
});

test("a new memory table: stretches of the old one are gone before its memory is, and nothing is copied afterwards", () => {
  const said = logged(() => {
    using r = scattered();
    decode(r, 1, 5);
    const held = want(r, 11);
    r.driver.memory.replace([{ address: BASE, length: MEMORY }]);
    r.driver.device.memoryChanged(r.driver.memory);
    r.fake.settle();
    expect(held.held).toBe(true);
    feed(r, 2, frame(77), 77n);
    expect([held.timestamp, held.flags, holds(r, 11, 77)]).toEqual([77n, 0, true]);
    r.driver.memory.checkGuards();
  });
  expect(counters(said)).toEqual(["6 pictures, 0 copied; 6 buffers of bitstream, 0 copied"]);
});

test("a region more in the memory table: the stretches stay, and nothing that is queued is disturbed", () => {
  using r = scattered();
  decode(r, 1, 5);
  const mapped = mappingsOf(GUEST);
  const requests = r.fake.calls.get("VIDIOC_REQBUFS");
  const held = want(r, 11);
  r.driver.device.memoryChanged(r.driver.memory); // no address has changed
  expect([mappingsOf(GUEST), r.fake.calls.get("VIDIOC_REQBUFS")]).toEqual([mapped, requests]);
  feed(r, 1, frame(3), 3n);
  expect([held.timestamp, holds(r, 11, 3)]).toEqual([3n, true]);
});

test("resources that go take their mappings with them: destroy, seek, replacement, reset, end", async () => {
  const left = await leftBehind(GUEST, () => {
    using r = scattered();
    const { mark } = r.driver.memory;
    const before = mappingsOf(GUEST);
    const stitched = () => mappingsOf(GUEST) - before;
    decode(r, 1, 4);
    const all = stitched();
    expect(all).toBeGreaterThan(10); // 3 and 2 pages of six resources
    r.driver.clear(1, s.INPUT);
    r.driver.clear(1, s.OUTPUT);
    expect(stitched()).toBe(all);
    r.driver.destroyAll(1, s.OUTPUT);
    expect(stitched()).toBe(9);
    r.driver.destroyAll(1, s.INPUT);
    expect(stitched()).toBe(0);
    make(r, r.entries);
    decode(r, 5, 3);
    expect(stitched()).toBe(all);
    r.driver.resource(1, s.INPUT, 1, [scatter(r.driver, BITSTREAM)]);
    expect(stitched()).toBe(all - 3);
    r.driver.destroy(1);
    expect(stitched()).toBe(0);
    r.driver.create(1);
    r.driver.setParams(1, s.INPUT, { format: 0x1006, width: W, height: H });
    r.driver.memory.mark = mark;
    make(r, r.entries);
    decode(r, 8, 3);
    expect(stitched()).toBe(all);
    r.driver.device.reset();
    expect(stitched()).toBe(0);
  });
  expect(left).toEqual(nothing);
});

test("1,000 times created, decoded and destroyed: no mapping and no descriptor is left, and none is missing for the next", async () => {
  const left = await leftBehind(GUEST, () => {
    using r = scattered({}, { stretches: new Stretches({ mappings: 40 }) }); // enough for one turn only
    const { mark } = r.driver.memory;
    for (let n = 0; n < 1000; n++) {
      r.driver.memory.mark = mark;
      make(r, r.entries);
      decode(r, n, 1);
    }
    expect(r.fake.pins).toBeGreaterThan(1999);
  });
  expect(left).toEqual(nothing);
});

test("a resource in place of another: its pictures are in its own memory, whatever address its stretch has", () => {
  using r = scattered();
  decode(r, 1, 6);
  for (let n = 7; n < 40; n++) {
    const { pins } = r.fake;
    const pages = scatter(r.driver, PICTURE);
    r.entries[12] = pages;
    r.driver.resource(1, s.OUTPUT, 12, [pages]);
    const sent = want(r, 12);
    feed(r, 1, frame(n), BigInt(n));
    expect([sent.flags, holds(r, 12, n)]).toEqual([0, true]);
    expect(r.fake.pins).toBeGreaterThan(pins); // the kernel has looked the new pages up
  }
});

test("a resource that came later and cannot be one stretch is copied once, the others are not", () => {
  const said = logged(() => {
    using r = scattered();
    decode(r, 1, 3);
    const apart = (queue: number, id: number, bytes: number) => {
      const at = r.driver.allocate(2 * bytes + 4096);
      const half = Math.ceil(bytes / 2);
      r.entries[id] = [
        { address: at, length: half },
        { address: at + BigInt(half + 64), length: half },
      ];
      expect(r.driver.resource(1, queue, id, [r.entries[id] ?? []]).code).toBe(0x200);
      return at;
    };
    r.inputs[3] = apart(s.INPUT, 4, BITSTREAM);
    r.outputs[3] = apart(s.OUTPUT, 14, PICTURE);
    for (let n = 4; n < 10; n++) {
      const sent = want(r, 14);
      feed(r, 4, frame(n), BigInt(n));
      expect([sent.timestamp, sent.flags, holds(r, 14, n)]).toEqual([BigInt(n), 0, true]);
    }
    decode(r, 10, 3);
    r.driver.memory.checkGuards();
  });
  expect(counters(said)).toEqual(["12 pictures, 6 copied; 12 buffers of bitstream, 6 copied"]);
});

const reasons: readonly [string, RigOptions, FakeOptions, string][] = [
  ["pieces that begin inside a page", { pieces: 2 }, {}, "a piece does not begin at a page"],
  [
    "more pieces than may be mapped",
    { stretches: new Stretches({ mappings: 6 }) },
    {},
    "it has more pieces than may be mapped",
  ],
  [
    "a driver that refuses them",
    {},
    { refusesPointers: true },
    "the driver takes no USERPTR; the driver takes no DMABUF",
  ],
];
test.each(reasons)("%s: one copy, and the reason is said once", (_, more, options, reason) => {
  const said = logged(() => {
    using r =
      more.pieces === undefined ? scattered(options, more) : rig({ userPointers: true }, more);
    for (let stream = 0; stream < 3; stream++) {
      feed(r, 1, frame(stream), BigInt(stream));
      readParams(r);
      expect(want(r, 11).flags).toBe(0);
      r.driver.clear(1, s.INPUT);
      r.driver.clear(1, s.OUTPUT);
    }
    r.driver.memory.checkGuards();
  });
  expect(counters(said)[0]).toMatch(/^(\d+) pictures, \1 copied/);
  const info = said.filter((line) => line.startsWith("info"));
  expect(info.filter((line) => line.includes("pictures: MMAP")).length).toBe(1);
  expect(info.every((line) => line.includes(`one copy: ${reason}`))).toBe(true);
});

test("a resource of 65,530 pieces is copied: the process keeps the mappings that it needs", () => {
  using r = scattered();
  const before = mappingsOf(GUEST);
  const pages = Array.from({ length: MAX_ENTRIES }, (_, i) => ({
    address: BASE + BigInt((i % 2) * 8192),
    length: 4096,
  }));
  expect(r.driver.resource(1, s.INPUT, 1, [pages]).code).toBe(0x200);
  r.driver.memory.bytes(BASE, 94).set(frame(9));
  r.driver.queue(1, s.INPUT, 1, [94], 9n);
  r.fake.settle();
  readParams(r);
  const sent = want(r, 11);
  expect([sent.timestamp, sent.flags, holds(r, 11, 9)]).toEqual([9n, 0, true]);
  expect(mappingsOf(GUEST) - before).toBeLessThan(20);
});

test("pieces that overlap, come twice or end inside a page do no harm", () => {
  using r = scattered();
  const at = r.driver.allocate(16 * 4096);
  const piece = (page: number, pages = 1, short = 0) => ({
    address: at + BigInt(page * 4096),
    length: pages * 4096 - short,
  });
  const lists = [
    [piece(3), piece(3)],
    [piece(0, 2), piece(1, 2)],
    [piece(5), piece(4, 1, 100)],
    [piece(7, 1, 1000), piece(9)],
    [{ address: BASE + BigInt(MEMORY - 4096), length: 4096 }, piece(2)],
  ];
  for (const [i, list] of lists.entries()) {
    r.driver.resource(1, s.OUTPUT, 11, [list]);
    feed(r, 1, frame(i), BigInt(i));
    if (i === 0) readParams(r);
    const sent = want(r, 11);
    expect([sent.timestamp, sent.flags, sent.size]).toEqual([BigInt(i), 0, PICTURE]);
  }
  r.driver.memory.checkGuards();
});

const disturbed: readonly [string, FakeOptions][] = [
  ["single-planar", {}],
  ["multi-planar", { multiplanar: true }],
  ["START forgotten", { forgetsStart: true }],
];
test.each(disturbed)(
  "%s: a clip of 150 with stops and memory that moves between its pictures: each comes once, none is copied",
  (_, options) => {
    const said = logged(() => {
      using r = rig({ userPointers: true, late: "finishes", ...options });
      r.driver.destroy(1);
      const clip = Buffer.concat(Array.from({ length: 150 }, (_, i) => frame(i, W, H, 50 + i)));
      const wish = { format: 4, width: W, height: H, chunk: "frame", mode: "drain" } as const;
      using folder = new TempDir();
      const path = folder.file("pictures");
      const out = openSync(path, "w");
      const player = new ClipPlayer(r.driver, 1, { clip, out, pieces: 2, ...wish });
      const move = (turn: number) => {
        if (turn % 2 === 0) r.driver.memory.replace([{ address: BASE, length: MEMORY }]);
        r.driver.device.memoryChanged(r.driver.memory);
      };
      for (let turn = 0, idle = 0; !player.done && idle < 50; turn++) {
        idle = player.step() ? 0 : idle + 1;
        if (turn % 5 === 0) move(turn);
        if (turn % 7 === 0) {
          r.driver.device.pause();
          if (turn % 3 === 0) move(turn);
          r.driver.device.resume();
        }
        r.fake.settle();
        if (turn % 3 !== 0) r.fake.finishLate();
        r.fake.settle();
      }
      expect([player.frames, player.errors, player.eos, player.done]).toEqual([150, 0, 1, true]);
      expect(player.times).toEqual(Array.from({ length: 150 }, (_, i) => timeOf(i)));
      closeSync(out);
      const right = (byte: number, i: number) =>
        byte === ((Math.floor(i / PICTURE) + (i % PICTURE)) & 0xff);
      const pictures = readFileSync(path);
      expect([pictures.length, pictures.every(right)]).toEqual([150 * PICTURE, true]);
      r.driver.memory.checkGuards();
    });
    expect(counters(said)[1]).toBe("150 pictures, 0 copied; 150 buffers of bitstream, 0 copied");
  },
);

test("a driver that takes dma-bufs and no pointers: one for each resource, nothing is copied", async () => {
  const left = await leftBehind("fake-dmabuf", () => {
    using dmabufs = new FakeDmabufs();
    const stretches = new Stretches({ makeDmabuf: dmabufs.make });
    const said = logged(() => {
      using r = scattered({ userPointers: false, dmabufs: dmabufs.memory }, { stretches });
      decode(r, 1, 30);
      expect(dmabufs.made).toBe(6);
      r.driver.memory.replace([{ address: BASE, length: MEMORY }]);
      r.driver.device.memoryChanged(r.driver.memory);
      decode(r, 31, 30);
      expect(dmabufs.made).toBe(12);
      make(r, r.entries);
      decode(r, 61, 3);
      r.driver.memory.checkGuards();
    });
    expect(counters(said)).toEqual(["63 pictures, 0 copied; 63 buffers of bitstream, 0 copied"]);
    expect(said.filter((line) => line.includes("DMABUF, on guest memory")).length).toBe(2);
  });
  expect(left).toEqual(nothing);
});

test("dma-bufs that cannot be made, or that the driver refuses: one copy, and the reason is said", () => {
  const refused = new Map<number, StitchedMapping>();
  const failing = () => Fd.open("/dev/no-udmabuf", 0);
  for (const [make, reason] of [
    [failing, "the driver takes no USERPTR; open /dev/no-udmabuf: ENOENT"],
    [
      () => Fd.memory("fake-dmabuf", 4096),
      "the driver takes no USERPTR; the driver takes no DMABUF",
    ],
  ] as const) {
    const stretches = new Stretches({ makeDmabuf: make });
    const said = logged(() => {
      using r = scattered({ userPointers: false, dmabufs: refused }, { stretches });
      decode(r, 1, 3);
    });
    expect(counters(said)).toEqual(["3 pictures, 3 copied; 3 buffers of bitstream, 3 copied"]);
    expect(said.filter((line) => line.startsWith("info") && line.includes(reason)).length).toBe(2);
  }
});

// Sharing by a region, with a sealed memfd in place of a dax device, and the host's file of a region. The guest lab
// (scenario zc-dax) shows that a guest's kernel makes a dax device of that file.
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Fd } from "../../ffi/fd.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { ProtocolError, UnavailableError } from "../../src/errors.ts";
import { fourcc } from "../../src/format/formats.ts";
import { StampChecker } from "../../src/format/stamp.ts";
import { type Allocator, memfdAllocator } from "../../src/frame/memory.ts";
import { CopyingSource } from "../../src/share/copying.ts";
import { importRegion, RegionAllocator } from "../../src/share/dax.ts";
import { openImporters, openShared, type SendOptions } from "../../src/share/index.ts";
import { createShareFile, infoBlock } from "../../src/share/nvdimm.ts";
import { checkHeader, regionHeader, writeHeader } from "../../src/share/region.ts";
import { borrowFrames } from "../../src/stream/zero-copy/borrow.ts";
import { openConsumer } from "../../src/stream/zero-copy/view-target.ts";
import { FakeVirtioMedia, Hypervisor } from "../support/fake-virtio-media.ts";
import { noXen } from "../support/fake-xen.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { borrow, lend, never, onLoop } from "../support/streams.ts";

const work = mkdtempSync(join(tmpdir(), "framepass-dax-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const MiB = 1024 * 1024;
const wish = { width: 320, height: 240, format: "YUYV", fps: 0, buffers: 6 };
const name = "framepass-region";
const region = (size = 8 * MiB) => Fd.memory(name, size);
const pathOf = (fd: Fd) => `/proc/self/fd/${fd.number}`;
const painted = (path: string): SendOptions => ({
  open: (_, allocator) => openTestSource("testsrc", { ...wish, allocator }),
  domain: undefined,
  region: path,
  local: false,
});

test("300 frames are drawn in the region and read there, and every one is right", async () => {
  const left = await leftBehind(name, () =>
    onLoop(async (loop, near, far) => {
      using memory = region();
      using shared = openShared("auto", painted(pathOf(memory)));
      using importer = importRegion(pathOf(memory));
      const reading = borrow(loop, far, [importer]).finally(() => far.close());
      expect(await lend(loop, near, shared, { frames: 300 })).toBe("done");
      expect(await reading).toEqual({ verified: 300, end: "closed" });
    }),
  );
  expect(left).toEqual(nothing);
});

test("frames of a camera that refuses USERPTR are copied into the region, and are right", async () => {
  const left = await leftBehind("memfd:", () =>
    onLoop(async (loop, near, far) => {
      using memory = region();
      using shared = openShared("dax", {
        ...painted(pathOf(memory)),
        open: (memoryType, allocator) =>
          openCamera(new FakeVirtioMedia(new Hypervisor()), {
            ...{ width: 64, height: 32, format: "YUYV", buffers: 4, heap: "" },
            memory: memoryType,
            allocator,
          }),
      });
      expect(shared.source.memory).toContain("mmap copied to /proc/self/fd/");
      using importer = importRegion(pathOf(memory));
      const reading = borrow(loop, far, [importer]).finally(() => far.close());
      expect(await lend(loop, near, shared, { frames: 100 })).toBe("done");
      expect(await reading).toEqual({ verified: 100, end: "closed" });
    }),
  );
  expect(left).toEqual(nothing);
});

test("a region of another sender, or without a header, is refused", () =>
  onLoop(async (loop, near, far) => {
    using mine = region();
    using other = region();
    using shared = openShared("dax", painted(pathOf(mine)));
    for (const [memory, text] of [
      [other, "no header of a sender in it"],
      [mine, "generation"],
    ] as const) {
      using importer = importRegion(pathOf(memory));
      const [handle] = shared.exporter.handles;
      if (handle?.kind !== "region") throw new Error("no handle");
      const stream = { ...shared.source.picture, bufferCount: 6 };
      const wrong = { ...handle, generation: handle.generation ^ 1n };
      expect(() => importer.import(wrong, stream, undefined)).toThrow(text);
      const size = memory === mine ? 8 * MiB : 0;
      if (size === 0) continue;
      for (const outside of [
        { ...handle, offset: 8 * MiB - 1 },
        { ...handle, offset: 0 },
        { ...handle, length: 0xffff_ffff },
      ]) {
        expect(() => importer.import(outside, stream, undefined)).toThrow(ProtocolError);
      }
      const larger = { ...stream, bufferCount: 7 };
      expect(() => importer.import(handle, larger, undefined)).toThrow("made for 320, 240");
      importer.import(handle, stream, undefined)[Symbol.dispose]();
    }
    near.close();
    far.close();
    await loop.sleep(0, new AbortController().signal);
  }));

test("a buffer says that it has changed from the moment on at which another sender takes the region", () => {
  using memory = region();
  using first = openShared("dax", painted(pathOf(memory)));
  const [handle] = first.exporter.handles;
  if (handle === undefined) throw new Error("no handle");
  using importer = importRegion(pathOf(memory));
  const stream = { ...first.source.picture, bufferCount: wish.buffers };
  using buffer = importer.import(handle, stream, undefined);
  expect(buffer.changed?.()).toBe(false);
  first.source.start();
  first.source.next()?.[Symbol.dispose]();
  expect(buffer.changed?.()).toBe(false);
  const opened: boolean[] = [];
  using _second = openShared("dax", {
    ...painted(pathOf(memory)),
    open: (_, allocator) => {
      opened.push(buffer.changed?.() === true); // before a byte of a buffer is written
      return openTestSource("testsrc", { ...wish, allocator });
    },
  });
  expect(opened).toEqual([true]);
  expect(buffer.changed?.()).toBe(true);
});

test("a frame that the next sender overwrites while it is read is not counted as right, and is no error", () =>
  onLoop(async (loop, near, far) => {
    using memory = region();
    using shared = openShared("dax", painted(pathOf(memory)));
    using importer = importRegion(pathOf(memory));
    const checker = new StampChecker();
    let changes = 0;
    let taken = 0;
    const openViewer = () => ({
      // The next sender comes while frame 3 is shown, and before frame 4 is checked.
      show: () => {
        if (checker.verified === 3) new RegionAllocator(pathOf(memory))[Symbol.dispose]();
      },
      [Symbol.dispose]: () => undefined,
    });
    const reading = borrowFrames({
      loop,
      socket: far,
      signal: never,
      maxFrame: 1 << 26,
      stallMs: 2000,
      importers: [importer],
      openView: openConsumer({ checker, openViewer, changed: () => (changes += 1) }),
      started: () => undefined,
      taken: () => ++taken < 10,
    }).finally(() => far.close());
    await lend(loop, near, shared, { frames: 10 }).catch(() => undefined);
    await reading;
    expect({ verified: checker.verified, changes }).toEqual({ verified: 2, changes: 8 });
  }));

test("a header with changed bytes is refused, in 20,000 cases", () => {
  const stream = {
    width: 16,
    height: 8,
    pixelformat: fourcc("YUYV"),
    sizeimage: 256,
    bufferCount: 2,
  };
  const bytes = new Uint8Array(new ArrayBuffer(4096));
  const change = fc.tuple(fc.nat(regionHeader.size - 1), fc.nat(255));
  let accepted = 0;
  const property = fc.property(fc.array(change, { maxLength: 3 }), (changes) => {
    writeHeader(bytes, { stream, generation: 77n, used: 8192 });
    const before = bytes.slice(0, regionHeader.size);
    for (const [at, value] of changes) bytes[at] = value;
    const meant = bytes.subarray(0, 52).every((value, i) => value === before[i]);
    try {
      checkHeader("/dev/dax0.0", bytes, stream, 77n);
      accepted += 1;
      expect(meant).toBe(true);
    } catch (error) {
      if (meant) throw error;
      expect(error).toBeInstanceOf(ProtocolError);
    }
  });
  fc.assert(property, { numRuns: 20_000 });
  expect(accepted).toBeGreaterThan(1000);
});

test("a file that could be truncated while it is mapped is no region", () => {
  const file = join(work, "plain");
  writeFileSync(file, new Uint8Array(4 * MiB));
  expect(() => importRegion(file)).toThrow("neither a dax device nor a memfd sealed");
  expect(() => importRegion("/dev/null")).toThrow("not a dax device");
  expect(() => importRegion(join(work, "none"))).toThrow(UnavailableError);
  using small = region(4096 - 1);
  expect(() => importRegion(pathOf(small))).toThrow("too small");
});

test("buffers that do not fit are refused with what to do", () => {
  using memory = region(MiB / 2);
  expect(() => openShared("dax", painted(pathOf(memory)))).toThrow("fewer --buffers");
});

test("without any way to share, auto says why", () => {
  const options = { ...painted(""), region: undefined, xen: noXen() };
  expect(() => openShared("auto", options)).toThrow("no way to share frames: give --domid");
  expect(() => openShared("auto", { ...options, domain: 5 })).toThrow(
    "virtio-media (testsrc:bars: no driver behind it), xen-grant (open /dev/xen/gntalloc: ENOENT (no such file or directory)); no other way to share its frames",
  );
  expect(() => openShared("dax", options)).toThrow("--region is required");
  expect(() => openShared("fd", options)).toThrow("--share fd needs a unix:/path");
  const receive = {
    openDevice: () => {
      throw new UnavailableError("open /dev/video0: ENOENT");
    },
    region: undefined,
    local: false,
    xen: noXen(),
  };
  expect(() => openImporters("auto", receive)).toThrow("ENOENT");
  expect(openImporters("auto", { ...receive, local: true }).map((one) => one.name)).toEqual(["fd"]);
});

test("the host file has the info block from which a kernel makes a dax device", () => {
  const path = join(work, "nv");
  createShareFile(path, 16 * MiB);
  expect(statSync(path).size).toBe(16 * MiB);
  expect(statSync(path).blocks * 512).toBeGreaterThanOrEqual(16 * MiB); // there is room for all of it
  using fd = Fd.open(path, 0);
  using mapping = new Mapping(fd.number, 8192, path, 1);
  const block = mapping.bytes.slice(4096, 8192);
  const view = new DataView(block.buffer);
  expect(new TextDecoder().decode(block.subarray(0, 16))).toBe("NVDIMM_DAX_INFO\0");
  expect([view.getUint16(52, true), view.getUint16(54, true)]).toEqual([1, 4]);
  expect(view.getBigUint64(56, true)).toBe(BigInt(2 * MiB));
  expect(view.getBigUint64(64, true)).toBe(BigInt((14 * MiB) / 4096));
  expect([72, 76, 80, 84, 88].map((at) => view.getUint32(at, true))).toEqual([
    1,
    0,
    0,
    2 * MiB,
    4096,
  ]);
  const sum = view.getBigUint64(4088, true);
  view.setBigUint64(4088, 0n, true);
  let low = 0n;
  let high = 0n;
  for (let at = 0; at < 4096; at += 4) {
    low = (low + BigInt(view.getUint32(at, true))) & 0xffff_ffffn;
    high = (high + low) & 0xffff_ffffn;
  }
  expect(sum).toBe((high << 32n) | low);
  expect(infoBlock.size).toBe(4096);
  expect(() => createShareFile(path, 16 * MiB)).toThrow("EEXIST");
  expect(statSync(path).size).toBe(16 * MiB);
});

test("a host file in a folder that is not there, or is a file, is refused with what to do", () => {
  expect(() => createShareFile(join(work, "none", "file"), 16 * MiB)).toThrow(
    /^open .*file: ENOENT .*; make the folder first, or choose another path$/,
  );
  writeFileSync(join(work, "plain"), "");
  expect(() => createShareFile(join(work, "plain", "file"), 16 * MiB)).toThrow(
    /^open .*file: ENOTDIR .*; choose another path$/,
  );
});

test("a file that does not fit on the disk is refused and removed", () => {
  const path = join(work, "large");
  expect(() => createShareFile(path, 2 ** 62)).toThrow(
    /^fallocate .*large: (EFBIG|ENOSPC) .*; choose a place with more room, or a smaller --size$/,
  );
  expect(existsSync(path)).toBe(false);
});

test("a shared source passes on urgent events of its camera, copied or not", () => {
  let told = 0;
  const inner = (allocator?: Allocator) =>
    Object.assign(openTestSource("testsrc", { ...wish, allocator }), {
      urgent: () => {
        told += 1;
      },
    });
  using memory = region();
  const options = { domain: undefined, region: pathOf(memory), local: true };
  using direct = openShared("fd", { ...options, open: () => inner() });
  using copied = new CopyingSource(inner(), memfdAllocator);
  direct.source.urgent?.();
  copied.urgent();
  expect(told).toBe(2);
  expect([direct.source.onDemand, copied.onDemand]).toEqual([true, true]);
});

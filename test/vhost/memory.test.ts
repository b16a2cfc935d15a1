// The memory table: what is refused, the effects of a change, and that nothing outside of it is read or written.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { result } from "../../ffi/errno.ts";
import { F_SEAL_SHRINK, Fd, O_RDWR, sealsOf } from "../../ffi/fd.ts";
import { addressOf, cString, libc } from "../../ffi/libc.ts";
import { SharedRegion } from "../../ffi/shared-region.ts";
import { socketPair } from "../../ffi/socket.ts";
import { MemoryTable, type RegionRow } from "../../src/vhost/memory.ts";
import { leftBehind, mappingsOf, openDescriptors } from "../support/resources.ts";
import { payload } from "../support/vhost/front-end.ts";
import { GuestRam, MIB } from "../support/vhost/guest-ram.ts";
import { requestParts, roundTrip, turns, withScene } from "../support/vhost/scene.ts";

const row = (guest: bigint, size: bigint, user: bigint, offset = 0n): RegionRow => ({
  guest,
  size,
  user,
  offset,
});
const page = 4096n;
const nothing = () => undefined;
const bytes = (length: number) => new Uint8Array(new ArrayBuffer(length));

const bad: readonly { what: string; rows: RegionRow[] }[] = [
  { what: "no region", rows: [] },
  {
    what: "33 regions",
    rows: Array.from({ length: 33 }, (_, i) => row(BigInt(i) << 20n, page, BigInt(i) << 20n)),
  },
  { what: "an empty region", rows: [row(0n, 0n, 0n)] },
  { what: "guest addresses that wrap", rows: [row(0xffff_ffff_ffff_f000n, 0x2000n, 0n)] },
  { what: "guest addresses beyond 2^53", rows: [row(1n << 53n, page, 0n)] },
  { what: "user addresses that wrap", rows: [row(0n, 0x2000n, 0xffff_ffff_ffff_f000n)] },
  { what: "offsets that wrap", rows: [row(0n, page, 0n, 0xffff_ffff_ffff_f000n)] },
  { what: "a size no mapping has", rows: [row(0n, 1n << 60n, 0n)] },
  { what: "more than the file has", rows: [row(0n, 2n * BigInt(MIB), 0n)] },
  { what: "an offset beyond the file", rows: [row(0n, page, 0n, BigInt(MIB))] },
  { what: "overlapping guest addresses", rows: [row(0n, 0x2000n, 0n), row(page, page, 0x10000n)] },
  { what: "overlapping user addresses", rows: [row(0n, page, 0n), row(0x10000n, page, 0xfffn)] },
];

test.each(bad)("$what is refused and leaves nothing open", ({ rows }) => {
  const before = openDescriptors();
  {
    using file = Fd.memory("guest-ram", MIB);
    using table = new MemoryTable();
    table.replace([row(0n, page, 0n)], [Fd.duplicate(file.number, "guest-ram")], nothing);
    const mapped = mappingsOf("guest-ram");
    const fds = rows.map(() => Fd.duplicate(file.number, "guest-ram"));
    expect(() => table.replace(rows, fds, nothing)).toThrow("");
    expect(mappingsOf("guest-ram")).toBe(mapped);
    expect(table.contains(0, 4096)).toBe(true); // the old table is in force
    expect(table.generation).toBe(1);
  }
  expect(openDescriptors()).toBe(before);
  expect(mappingsOf("guest-ram")).toBe(0);
});

test("descriptors that are no memory are refused: sockets, folders, /dev/zero, descriptors opened for reading only", () => {
  const [a, b] = socketPair();
  using _a = a;
  using _b = b;
  const folder = Fd.open("/tmp", 0);
  const readOnly = Fd.open(import.meta.path, 0);
  using table = new MemoryTable();
  const zeros = Fd.open("/dev/zero", O_RDWR); // its pages would be ours, and the front-end chooses how many
  for (const fd of [Fd.duplicate(a.number, "socket"), folder, zeros, readOnly]) {
    expect(() => table.replace([row(0n, 16n, 0n)], [fd], nothing)).toThrow("");
    expect(fd.closed).toBe(true);
  }
});

test("the whole range is checked, across regions that touch, and addresses are exact", () => {
  using ram = new GuestRam([
    { guest: 0x1000, size: 0x2000 },
    { guest: 0x3000, size: 0x1000 },
    { guest: 0x8000, size: 0x1000 },
  ]);
  using table = new MemoryTable();
  const fds = ram.rows.map(() => Fd.duplicate(ram.fd.number, "guest-ram"));
  table.replace(ram.rows, fds, nothing);
  expect(table.contains(0x1000, 0x3000)).toBe(true);
  expect(table.contains(0x1000, 0x3001)).toBe(false);
  expect(table.contains(0xfff, 2)).toBe(false);
  expect(table.contains(0x8fff, 1)).toBe(true);
  expect(table.contains(0x9000, 1)).toBe(false);
  expect(table.contains(2 ** 63, 1)).toBe(false);
  const spans = table.resolve(0x2ff0n, 0x20n);
  expect(spans?.map(({ length }) => length)).toEqual([16, 16]);
  ram.bytes(0x2ff0, 16).fill(1);
  ram.bytes(0x3000, 16).fill(2);
  expect([spans?.[0]?.bytes[15], spans?.[1]?.bytes[0]]).toEqual([1, 2]);
  const copy = bytes(32);
  expect(table.read(0x2ff0, 32, copy, 0)).toBe(true);
  expect(copy).toEqual(Uint8Array.from({ length: 32 }, (_, i) => (i < 16 ? 1 : 2)));
  expect(table.write(0x3ff8, 16, copy, 0)).toBe(false); // no byte of it is written
  expect(ram.bytes(0x3ff8, 8)).toEqual(bytes(8));
  expect(table.resolve(0x1000n, 0n)).toBeUndefined();
  expect(table.resolve(0xffff_ffff_ffff_fff0n, 0x20n)).toBeUndefined();
  expect(spans?.[0]?.offset).toBe(Number(ram.rows[0]?.offset) + 0x1ff0);
});

test("a span's view reads as empty after its table was replaced", () => {
  using ram = new GuestRam();
  using table = new MemoryTable();
  table.replace(ram.rows, [Fd.duplicate(ram.fd.number, "guest-ram")], nothing);
  const [span] = table.resolve(0n, 4096n) ?? [];
  const view = span?.bytes;
  expect(view?.length).toBe(4096);
  table.replace(ram.rows, [Fd.duplicate(ram.fd.number, "guest-ram")], () => {
    expect(view?.length).toBe(4096); // the device releases it here
  });
  expect(view?.length).toBe(0);
  expect(() => span?.address).toThrow("gone");
});

test("memory that can be sealed cannot be shortened while we use it", () => {
  // A memfd that can be sealed and is not, as from a monitor that does not seal.
  const script = `
    import { libc, cString, addressOf } from "${import.meta.dir}/../../ffi/libc.ts";
    import { Fd } from "${import.meta.dir}/../../ffi/fd.ts";
    import { SharedRegion } from "${import.meta.dir}/../../ffi/shared-region.ts";
    const name = cString("loose");
    const fd = new Fd(libc.memfd_create(addressOf(name), 3), "loose");
    libc.ftruncate(fd.number, 8192);
    using region = new SharedRegion(Fd.duplicate(fd.number, "loose"), 0, 8192);
    console.log(libc.ftruncate(fd.number, 0), region.view(4096, 4096).length, libc.ftruncate(fd.number, 16384));
  `;
  const run = Bun.spawnSync([process.execPath, "-e", script], { timeout: 8000 });
  expect(run.stdout.toString().trim()).toBe("-1 4096 0");
});

test("memory is sealed before its size is checked, so that it cannot be shortened in between", () => {
  const name = cString("loose");
  using fd = new Fd(libc.memfd_create(addressOf(name), 3), "loose");
  libc.ftruncate(fd.number, 4096);
  expect(() => new SharedRegion(fd, 0, 8192)).toThrow("the file has 4096");
  expect(sealsOf(fd.number)).toBe(F_SEAL_SHRINK);
});

test("huge pages that the host does not have are refused, and nothing is mapped", async () => {
  const HUGE_2_MIB = (21 << 26) | 4 | 3; // MFD_HUGE_2MB | MFD_HUGETLB | MFD_ALLOW_SEALING | MFD_CLOEXEC: <linux/memfd.h>
  const name = cString("huge-ram");
  // More than the memory of the host: other programs make and free huge pages at any time.
  const kib = readFileSync("/proc/meminfo", "utf8").match(/MemTotal: +(\d+) kB/)?.[1];
  const size = (Math.ceil(Number(kib) / 2048) + 1) * 2 * MIB;
  const left = await leftBehind("huge-ram", () => {
    const made = result(libc.memfd_create(addressOf(name), HUGE_2_MIB));
    if (made < 0) return; // a kernel without huge pages has none to refuse
    const fd = new Fd(made, "huge-ram");
    libc.ftruncate(fd.number, size);
    using table = new MemoryTable();
    const add = () => table.replace([row(0n, BigInt(size), 0n)], [fd], nothing);
    expect(add).toThrow("too few free huge pages");
  });
  expect(left).toEqual({ descriptors: 0, mappings: 0 });
});

test("a region of more bytes than a view can have is used at both ends", () => {
  using file = Fd.memory("guest-ram", 6 * 1024 * MIB);
  using table = new MemoryTable();
  const size = 6n * 1024n * BigInt(MIB);
  table.replace([row(1n << 32n, size, 0n)], [Fd.duplicate(file.number, "guest-ram")], nothing);
  const end = Number((1n << 32n) + size) - 8;
  expect(table.write(end, 8, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 0)).toBe(true);
  expect(table.resolve(BigInt(end), 8n)?.[0]?.bytes[7]).toBe(8);
  expect(table.contains(end, 9)).toBe(false);
  expect(table.resolve(1n << 32n, 3n << 30n)?.map(({ length }) => length)).toEqual([
    1 << 30,
    1 << 30,
    1 << 30,
  ]);
});

test("the table is replaced while rings run: held requests are answered in the new memory", () =>
  withScene({}, async (scene) => {
    const { hypervisor, frontEnd, ram, commands, device } = scene;
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, Uint8Array.of(0, 1), 2);
    const parts = requestParts(ram, Uint8Array.of(1, 2, 3), 3);
    commands.add(parts);
    commands.notify();
    await turns(scene.loop);
    const table = payload.regions(ram.rows);
    expect(await frontEnd.acknowledged("SET_MEM_TABLE", table, { fds: [ram.fd.number] })).toBe(0n);
    expect(device.calls.slice(-1)).toEqual(["memoryChanged"]);
    device.release();
    expect(await commands.used(1)).toEqual([{ head: expect.any(Number), length: 3 }]);
    expect([...ram.bytes(parts[1]?.at ?? 0, 3)]).toEqual([1, 2, 3]);
    await roundTrip(scene, Uint8Array.of(0, 1), 2);
  }));

test("an answer whose memory was removed is returned with length 0", () =>
  withScene(
    {
      places: [
        { guest: 0, size: 4 * MIB },
        { guest: 8 * MIB, size: MIB },
      ],
    },
    async (scene) => {
      const { hypervisor, frontEnd, ram, commands, device } = scene;
      await hypervisor.realize();
      await hypervisor.activate();
      const [request] = requestParts(ram, Uint8Array.of(1, 2, 3), 3);
      if (request === undefined) throw new Error("no parts");
      commands.add([request, { at: 8 * MIB + 64, length: 3, writable: true }]);
      commands.notify();
      await turns(scene.loop);
      const [, second] = ram.rows;
      if (second === undefined) throw new Error("no region");
      expect(await frontEnd.acknowledged("REM_MEM_REG", payload.region(second))).toBe(0n);
      device.release();
      expect((await commands.used(1))[0]?.length).toBe(0);
      expect(ram.bytes(8 * MIB, 128)).toEqual(bytes(128));
    },
  ));

test("only a region with exactly these addresses is removed, and not while a ring runs in it", () =>
  withScene({}, async (scene) => {
    const { hypervisor, frontEnd, ram } = scene;
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, Uint8Array.of(0, 1), 2);
    const [first] = ram.rows;
    if (first === undefined) throw new Error("no region");
    for (const other of [{ size: 4096n }, { guest: 4096n }, { user: 0n }]) {
      const wrong = payload.region({ ...first, ...other });
      expect(await frontEnd.acknowledged("REM_MEM_REG", wrong)).toBe(1n);
    }
    expect(await frontEnd.acknowledged("REM_MEM_REG", payload.region(first))).toBe(1n);
    await roundTrip(scene, Uint8Array.of(0, 1), 2);
    await hypervisor.stop();
    // The offset in the file is ignored, and some front-ends send a descriptor.
    const gone = payload.region({ ...first, offset: 0n });
    expect(await frontEnd.acknowledged("REM_MEM_REG", gone, { fds: [ram.fd.number] })).toBe(0n);
  }));

test("rings that the new table does not hold are not processed any more", () =>
  withScene({}, async (scene) => {
    const { hypervisor, frontEnd, ram, commands } = scene;
    await hypervisor.realize();
    await hypervisor.activate();
    await roundTrip(scene, Uint8Array.of(0, 1), 2);
    const [first] = ram.rows;
    if (first === undefined) throw new Error("no region");
    const elsewhere = payload.regions([{ ...first, user: 0x1000n }]);
    expect(await frontEnd.acknowledged("SET_MEM_TABLE", elsewhere, { fds: [ram.fd.number] })).toBe(
      0n,
    );
    commands.add(requestParts(ram, Uint8Array.of(0, 1), 2));
    commands.notify();
    await turns(scene.loop, 3);
    expect(commands.takeUsed()).toEqual([]);
    expect(commands.error.clear()).toBe(1);
    await frontEnd.settled();
  }));

test("areas of a ring that are not whole in one region, or not aligned, are refused at once and at the start", () =>
  withScene(
    {
      places: [
        { guest: 0, size: MIB },
        { guest: MIB, size: MIB },
      ],
    },
    async (scene) => {
      const { frontEnd, hypervisor, ram, commands, device } = scene;
      await hypervisor.realize();
      await hypervisor.memory();
      await hypervisor.send("SET_VRING_NUM", payload.state(0, 64));
      const good = commands.user;
      const end = ram.user(MIB - 64);
      const wrong = [
        { ...good, descriptors: end },
        { ...good, available: end },
        { ...good, used: end },
        { ...good, used: 0xffff_ffff_ffff_fff0n },
        { ...good, descriptors: 0n },
        { ...good, descriptors: good.descriptors + 8n },
        { ...good, available: good.available + 1n },
        { ...good, used: good.used + 2n },
      ];
      for (const at of wrong) {
        expect(await frontEnd.acknowledged("SET_VRING_ADDR", payload.addresses(0, at))).toBe(1n);
        const kick = { fds: [commands.kick.fd] };
        expect(await frontEnd.acknowledged("SET_VRING_KICK", payload.word(0n), kick)).toBe(1n);
      }
      await hypervisor.send("SET_VRING_ENABLE", payload.state(0, 1));
      expect(device.calls).toEqual([]);
      expect(await frontEnd.acknowledged("SET_VRING_ADDR", payload.addresses(0, good))).toBe(0n);
    },
  ));

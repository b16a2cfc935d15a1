// Sharing by grants, over stand-ins of xen-gntalloc and xen-gntdev (test/support/fake-xen.ts). The guest lab repeats it
// between two domains of a Xen (scenario zc-xen).
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import { PROT_READ, PROT_WRITE } from "../../ffi/mapping.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { exitStatus, ProtocolError, UnavailableError } from "../../src/errors.ts";
import type { Handle } from "../../src/frame/sharing.ts";
import { GrantAllocator } from "../../src/share/grant-allocator.ts";
import { openImporters, openShared, type SendOptions } from "../../src/share/index.ts";
import { importVirtioMedia } from "../../src/share/virtio-media.ts";
import { GNTALLOC, GNTDEV, limitIn } from "../../src/share/xen-domain.ts";
import { importGrants } from "../../src/share/xen-grant.ts";
import { XEN_MEMORY } from "../support/fake-gntalloc.ts";
import { FakeVirtioMedia, Hypervisor } from "../support/fake-virtio-media.ts";
import { type FakeDomain, FakeXen, noXen } from "../support/fake-xen.ts";
import { logged } from "../support/logged.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { borrow, lend, onLoop } from "../support/streams.ts";
import { thrown } from "../support/thrown.ts";

const wish = { width: 320, height: 240, format: "YUYV", fps: 0, buffers: 4 };
const SENDER = 3;
const RECEIVER = 5;

function domains(): { xen: FakeXen; here: FakeDomain; there: FakeDomain } {
  const xen = new FakeXen();
  return { xen, here: xen.domain(SENDER), there: xen.domain(RECEIVER) };
}

const painted = (xen: FakeDomain, more: Partial<typeof wish> = {}): SendOptions => ({
  open: (_, allocator) => openTestSource("testsrc", { ...wish, ...more, allocator }),
  buffers: more.buffers ?? wish.buffers,
  domain: RECEIVER,
  region: undefined,
  local: false,
  xen,
});

type Grants = Handle & { readonly kind: "grants" };
function grantsOf(handle: Handle | undefined): Grants {
  if (handle?.kind !== "grants") throw new Error("no handle with grants");
  return handle;
}

test("300 frames are drawn into granted pages and read in the other domain, and every one is right", async () => {
  const { xen, here, there } = domains();
  const left = await leftBehind(XEN_MEMORY, () =>
    onLoop(async (loop, near, far) => {
      {
        using shared = openShared("xen-grant", painted(here));
        expect(shared.exporter.name).toBe("xen-grant (domain 3)");
        using importer = importGrants(there);
        const reading = borrow(loop, far, [importer]).finally(() => far.close());
        expect(await lend(loop, near, shared, { frames: 300 })).toBe("done");
        expect(await reading).toEqual({ verified: 300, end: "closed" });
        expect(here.pages).toBe(4 * 38); // 153,600 bytes are 37.5 pages
        expect([...xen.grants.values()].every(({ readOnly }) => readOnly)).toBe(true);
      }
      expect([here.pages, xen.grants.size]).toEqual([0, 0]);
    }),
  );
  expect(left).toEqual(nothing);
  for (const name of ["IOCTL_GNTDEV_MAP_GRANT_REF", "IOCTL_GNTDEV_UNMAP_GRANT_REF"]) {
    expect(there.calls.filter((call) => call === name).length).toBe(wish.buffers); // never per frame
  }
});

test("frames of a camera that refuses USERPTR are copied into granted pages, and are right", async () => {
  const { here, there } = domains();
  const left = await leftBehind("memfd:", () =>
    onLoop(async (loop, near, far) => {
      using shared = openShared("xen-grant", {
        ...painted(here),
        open: (memory, allocator) =>
          openCamera(new FakeVirtioMedia(new Hypervisor()), {
            ...{ width: 64, height: 32, format: "YUYV", buffers: 4, heap: "" },
            memory,
            allocator,
          }),
      });
      expect(shared.source.memory).toBe(`mmap copied to ${GNTALLOC}`);
      using importer = importGrants(there);
      const reading = borrow(loop, far, [importer]).finally(() => far.close());
      expect(await lend(loop, near, shared, { frames: 100 })).toBe("done");
      expect(await reading).toEqual({ verified: 100, end: "closed" });
    }),
  );
  expect(left).toEqual(nothing);
  expect(here.pages).toBe(0);
});

test("a picture that ends within a page is mapped with the pages that it needs, and no more", () => {
  const { here, there } = domains();
  using shared = openShared("xen-grant", painted(here, { width: 66, height: 33, buffers: 1 }));
  const handle = grantsOf(shared.exporter.handles[0]);
  expect([handle.length, handle.references.length]).toEqual([4356, 2]);
  using importer = importGrants(there);
  const stream = { ...shared.source.picture, bufferCount: 1, sizeimage: 4096 };
  using buffer = importer.import(handle, stream, undefined);
  expect(buffer.mapping.length).toBe(4096);
});

test("a domain cannot map for writing what it was granted for reading, and another domain not at all", () => {
  const { xen, here, there } = domains();
  using shared = openShared("xen-grant", painted(here));
  const handle = grantsOf(shared.exporter.handles[0]);
  const stream = { ...shared.source.picture, bufferCount: 4 };
  {
    using device = there.open(GNTDEV);
    const open = there.open.bind(there);
    // The importer asks for PROT_READ; this one asks for more.
    there.open = () => ({
      path: GNTDEV,
      ioctl: (request, argument) => device.ioctl(request, argument),
      map: (length, offset) => device.map(length, offset, PROT_READ | PROT_WRITE),
      [Symbol.dispose]: () => undefined,
    });
    using writer = importGrants(there);
    there.open = open;
    expect(() => writer.import(handle, stream, undefined)).toThrow("mmap /dev/xen/gntdev: EINVAL");
  }
  using third = importGrants(xen.domain(7));
  const error = thrown(() => third.import(handle, stream, undefined));
  expect(error).toBeInstanceOf(ProtocolError);
  expect(error.message).toContain("domain 3 did not grant all 38 references to this domain");
  expect(error.message).toContain("give the sender --domid 7");
});

test("a handle that asks for too much is refused before a driver sees it", () => {
  const { here, there } = domains();
  using shared = openShared("xen-grant", painted(here));
  const handle = grantsOf(shared.exporter.handles[0]);
  const stream = { ...shared.source.picture, bufferCount: 4 };
  using importer = importGrants(there);
  const wrong: [Partial<Grants>, string][] = [
    [{ pageBytes: 65_536 }, "pages of 65536 bytes, must be 4096"],
    [{ domain: 32_752 }, "gref_domid is 32752, must be 0 to 32751"],
    [{ domain: 0xffff_ffff }, "gref_domid is 4294967295"],
    [{ references: new Uint32Array(37) }, "need 38 references, it has 37"],
    [{ references: new Uint32Array(0) }, "it has 0"],
  ];
  for (const [change, text] of wrong) {
    const error = thrown(() => importer.import({ ...handle, ...change }, stream, undefined));
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error.message).toContain(text);
  }
  expect(there.calls.filter((call) => call.startsWith("IOCTL"))).toEqual([]);
  const unknown = { ...handle, references: handle.references.map(() => 16_000) };
  expect(() => importer.import(unknown, stream, undefined)).toThrow(ProtocolError);
  const maps = there.calls.filter((call) => call === "IOCTL_GNTDEV_MAP_GRANT_REF").length;
  const unmaps = there.calls.filter((call) => call === "IOCTL_GNTDEV_UNMAP_GRANT_REF").length;
  expect([maps, unmaps]).toEqual([1, 1]);
  importer.import(handle, stream, undefined)[Symbol.dispose](); // a good one still does
});

test("too many pages for the limit are refused with figures before the first is allocated", () => {
  const { here } = domains();
  const large = { width: 1920, height: 1080 };
  const error = thrown(() => openShared("xen-grant", painted(here, large)));
  expect(error).toBeInstanceOf(UnavailableError);
  expect(exitStatus(error)).toBe(3);
  expect(error.message).toBe(
    `${GNTALLOC}: 4 buffers of 4147200 bytes need 4 x 1013 = 4052 pages, its limit is 1024; raise it (echo 8192 > /sys/module/xen_gntalloc/parameters/limit), or use a smaller picture or fewer --buffers`,
  );
  expect(here.calls).not.toContain("IOCTL_GNTALLOC_ALLOC_GREF");
  here.limit = 8192;
  openShared("xen-grant", painted(here, large))[Symbol.dispose]();
  expect(here.pages).toBe(0);
});

test("a stream that takes more than half of a small grant table is a warning, and goes on", () => {
  const { here } = domains();
  here.limit = 100_000;
  const large = { width: 1920, height: 1080 };
  const warnings = (buffers: number) =>
    logged(() =>
      openShared("xen-grant", painted(here, { ...large, buffers }))[Symbol.dispose](),
    ).filter((line) => line.startsWith("warn"));
  expect(warnings(8)).toEqual([]);
  expect(warnings(9)).toEqual([
    "warn 9 buffers of 4147200 bytes need 9 x 1013 = 9117 pages: many domains have a grant table of 16384 entries, which their disks and networks use as well",
  ]);
});

test("the driver is asked once for a buffer that has no room: when the grant table is full, it breaks", () => {
  const { xen, here } = domains();
  here.limit = 100_000;
  xen.free.length = 100; // the grant table is nearly full
  const error = thrown(() => openShared("xen-grant", painted(here)));
  expect(error.message).toContain("the domain's grant table is full, give the domain a larger one");
  expect(here.calls.filter((call) => call === "IOCTL_GNTALLOC_ALLOC_GREF").length).toBe(3);
  expect([here.pages, xen.free.length]).toEqual([-1, 100]); // the driver's count is wrong by one for each refusal
});

test("--share auto says in one line what it took, and what the ways before it lack", () => {
  const { here, there } = domains();
  const said = (act: () => Disposable | readonly Disposable[]) =>
    logged(() => {
      const opened = act();
      for (const one of Symbol.iterator in opened ? opened : [opened]) one[Symbol.dispose]();
    }).filter((line) => line.includes("auto") || line.includes("accepts"));
  expect(said(() => openShared("auto", painted(here)))).toEqual([
    "info --share auto takes xen-grant; not virtio-media (testsrc:bars: no driver behind it)",
  ]);
  const local = { ...painted(noXen()), local: true };
  expect(said(() => openShared("auto", local))).toEqual([
    "info --share auto takes fd; not virtio-media (testsrc:bars: no driver behind it), xen-grant (open /dev/xen/gntalloc: ENOENT (no such file or directory)), dax (no --region)",
  ]);
  expect(said(() => openShared("auto", { ...local, domain: undefined }))).toEqual([
    "info --share auto takes fd; not virtio-media and xen-grant (no --domid), dax (no --region)",
  ]);
  const openDevice = () => {
    throw new UnavailableError("open /dev/video0: ENOENT");
  };
  const receive = { openDevice, region: undefined, local: true, xen: there };
  expect(said(() => openImporters("auto", receive))).toEqual([
    "info accepts frames shared by xen-grant or fd; not virtio-media (open /dev/video0: ENOENT), dax (no --region)",
  ]);
});

test("a limit is recommended that leaves room in a small grant table, or none", () => {
  const { here } = domains();
  const refusal = (buffers: number) =>
    thrown(() =>
      openShared("xen-grant", painted(here, { width: 1920, height: 1080, buffers })),
    ).message.replace(/.*its limit is 1024; /, "");
  expect(refusal(8)).toStartWith("raise it (echo 8192 > ");
  expect(refusal(9)).toStartWith("raise it (echo 14336 > ");
  expect(refusal(14)).toStartWith("raise it (echo 14336 > ");
  expect(refusal(15)).toBe(
    "use a smaller picture or fewer --buffers: more would fill a grant table of 16384 entries, which many domains have",
  );
});

test("a picture of more pages than a handle carries is refused with figures", () => {
  const { here } = domains();
  here.limit = 100_000;
  const error = thrown(() => openShared("xen-grant", painted(here, { width: 3840, height: 2160 })));
  expect(exitStatus(error)).toBe(3);
  expect(error.message).toBe(
    "a buffer of 16588800 bytes needs 4050 grant references, a handle carries 4000; choose a smaller picture",
  );
});

test("pages that others hold are missing only when the driver is asked: its refusal has the figures too", () => {
  const { here } = domains();
  using other = new GrantAllocator({ domain: RECEIVER, buffers: 1, xen: here });
  using _held = other.allocate(1000 * 4096);
  const error = thrown(() => openShared("xen-grant", painted(here)));
  expect(exitStatus(error)).toBe(3);
  expect(error.message).toStartWith(
    "IOCTL_GNTALLOC_ALLOC_GREF /dev/xen/gntalloc (38 pages): ENOSPC",
  );
  expect(error.message).toContain(
    "4 buffers of 153600 bytes need 4 x 38 = 152 pages: other programs of this domain have the rest of the limit of 1024, raise it (echo 8192",
  );
  expect(here.pages).toBe(1000);
  here.limit = 1100; // two buffers have room, the third has none
  expect(() => openShared("xen-grant", painted(here))).toThrow("the limit of 1100");
  here.limit = 8192;
  using another = new GrantAllocator({ domain: RECEIVER, buffers: 2, xen: here });
  using _more = another.allocate(3550 * 4096);
  using _most = another.allocate(3550 * 4096);
  expect(() => openShared("xen-grant", painted(here))).toThrow(
    "the rest of the limit of 8192, raise it (echo 14336 > ",
  );
  expect(here.pages).toBe(8100);
});

test("the planes of a multi-planar camera count with the pages that each has", () => {
  const { here } = domains();
  const planes = [100, 50, 100, 50]; // pages of two buffers with two planes
  const allocate = () => {
    using stack = new DisposableStack();
    const allocator = stack.use(new GrantAllocator({ domain: RECEIVER, buffers: 2, xen: here }));
    for (const pages of planes) stack.use(allocator.allocate(pages * 4096));
    return here.pages;
  };
  here.limit = 300;
  expect(allocate()).toBe(300);
  here.limit = 299;
  expect(() => allocate()).toThrow(
    "250 pages and 1 buffer of 204800 bytes need 250 + 50 = 300 pages, its limit is 299; raise it",
  );
  expect(here.pages).toBe(0);
});

test("a limit below 0 is none: the driver compares it without its sign", () => {
  expect(["1024\n", "0\n", "-1\n", "", "\n", "many\n", "1e3\n"].map(limitIn)).toEqual([
    ...[1024, 0, 0xffff_ffff],
    ...[undefined, undefined, undefined, undefined],
  ]);
  const { here } = domains();
  here.limit = -1;
  here.pageLimit = () => limitIn(`${here.limit}\n`);
  openShared("xen-grant", painted(here))[Symbol.dispose](); // neither this program nor the driver refuses it
});

const failures = [
  ["IOCTL_GNTALLOC_ALLOC_GREF", "ENOMEM"],
  ["mmap", "ENOMEM"],
  ["domid", "ETIMEDOUT"],
  [GNTALLOC, "ENOENT"],
  [GNTALLOC, "EACCES"],
] as const;
test.each(failures)(
  "the sender's %s fails with %s: one line, status 3, nothing left",
  async (call, code) => {
    const { here } = domains();
    here.fail.set(call, errno[code]);
    const left = await leftBehind(XEN_MEMORY, () => {
      const error = thrown(() => openShared("xen-grant", painted(here)));
      expect(exitStatus(error)).toBe(3);
      expect(error.message).toContain(code);
      expect(error.message).not.toContain("\n");
    });
    expect([left, here.pages]).toEqual([nothing, 0]);
  },
);

test("a failed release is a warning, and the rest is released", async () => {
  const { here, there } = domains();
  here.fail.set("IOCTL_GNTALLOC_DEALLOC_GREF", errno.EINVAL);
  there.fail.set("IOCTL_GNTDEV_UNMAP_GRANT_REF", errno.ENOENT);
  const left = await leftBehind(XEN_MEMORY, () => {
    using shared = openShared("xen-grant", painted(here));
    using importer = importGrants(there);
    const stream = { ...shared.source.picture, bufferCount: 4 };
    for (const handle of shared.exporter.handles) {
      importer.import(handle, stream, undefined)[Symbol.dispose]();
    }
  });
  expect([left, here.pages]).toEqual([nothing, 0]);
});

test.each([true, false])(
  "pages that a receiver still maps stay until it lets go; they count to the limit in older kernels: %p",
  (older) => {
    const { xen, here, there } = domains();
    here.older = older;
    using importer = importGrants(there);
    const shared = openShared("xen-grant", painted(here));
    const stream = { ...shared.source.picture, bufferCount: 4 };
    const buffer = importer.import(grantsOf(shared.exporter.handles[0]), stream, undefined);
    shared[Symbol.dispose]();
    expect([here.pages, xen.grants.size]).toEqual([older ? 38 : 0, 38]);
    expect(buffer.mapping.bytes.length).toBe(153_600); // the receiver still reads memory, not a hole
    buffer[Symbol.dispose]();
    openShared("xen-grant", painted(here))[Symbol.dispose](); // the driver looks at each new allocation
    expect([here.pages, xen.grants.size]).toEqual([0, 0]);
  },
);

test("--share auto: with --domid and without the driver's ioctls it takes xen-grant on both sides", () => {
  const { here, there } = domains();
  {
    using shared = openShared("auto", painted(here));
    expect(shared.exporter.name).toStartWith("xen-grant");
  }
  const receive = {
    openDevice: () => {
      throw new UnavailableError("open /dev/video0: ENOENT");
    },
    region: undefined,
    local: false,
    xen: there,
  };
  const names = (importers: readonly { readonly name: string }[]) =>
    importers.map(({ name }) => name);
  expect(names(openImporters("auto", receive))).toEqual(["xen-grant"]);
  const driver = { ...receive, openDevice: () => new FakeVirtioMedia(new Hypervisor()) };
  expect(names(openImporters("auto", driver))).toEqual(["virtio-media (4000 references)"]);
  expect(names(openImporters("auto", { ...receive, local: true }))).toEqual(["xen-grant", "fd"]);
  expect(() => openShared("xen-grant", { ...painted(here), domain: undefined })).toThrow(
    "--domid is required with --share xen-grant",
  );
});

test("what a virtio-media driver granted is read through xen-gntdev, frame by frame", () =>
  onLoop(async (loop, near, far) => {
    const { xen, there } = domains();
    const drivers = new Hypervisor();
    const camera = { ...wish, fps: 30, heap: "", memory: "mmap", queueAtStart: true } as const;
    const device = new FakeVirtioMedia(drivers, { width: 320, height: 240 });
    using shared = openShared("virtio-media", {
      ...painted(there),
      open: () => openCamera(device, camera),
    });
    for (const handle of shared.exporter.handles) {
      const { references, id, domain } = grantsOf(handle);
      const memory = drivers.exported.get(id);
      if (memory === undefined) throw new Error("not exported");
      xen.grant(memory, domain, RECEIVER, references);
    }
    using importer = importGrants(there);
    const reading = borrow(loop, far, [importer]).finally(() => far.close());
    expect(await lend(loop, near, shared, { frames: 100 })).toBe("done");
    expect(await reading).toEqual({ verified: 100, end: "closed" });
  }));

test("what xen-gntalloc granted is read through a virtio-media driver, frame by frame", () =>
  onLoop(async (loop, near, far) => {
    const { xen, here } = domains();
    const drivers = new Hypervisor();
    drivers.foreign = (domain, references) => xen.granted(domain, RECEIVER, references);
    using shared = openShared("xen-grant", painted(here));
    using importer = importVirtioMedia(new FakeVirtioMedia(drivers));
    const reading = borrow(loop, far, [importer]).finally(() => far.close());
    expect(await lend(loop, near, shared, { frames: 100 })).toBe("done");
    expect(await reading).toEqual({ verified: 100, end: "closed" });
  }));

test("50 connections that end in the middle of a stream leave no descriptor, mapping or grant behind", async () => {
  const { xen, here, there } = domains();
  const cycle = (n: number) =>
    onLoop(async (loop, near, far) => {
      using shared = openShared("xen-grant", painted(here));
      using importer = importGrants(there);
      const reading = borrow(loop, far, [importer], n % 2 === 0 ? { frames: 3 } : {})
        .catch((error: Error) => error)
        .finally(() => far.close());
      const stop = new AbortController();
      const lending = lend(loop, near, shared, { frames: 1e6, signal: stop.signal })
        .catch((error: Error) => error)
        .finally(() => near.close());
      // Even: the receiver leaves after three frames. Odd: the sender is stopped.
      if (n % 2 === 1) {
        await loop.sleep(2, new AbortController().signal);
        stop.abort();
      }
      await Promise.all([reading, lending]);
    });
  await cycle(0);
  const left = await leftBehind(XEN_MEMORY, async () => {
    for (let n = 0; n < 50; n++) await cycle(n);
  });
  expect(left).toEqual(nothing);
  expect([here.pages, xen.grants.size]).toEqual([0, 0]);
  expect(xen.free.length).toBe(16_384 - 8);
});

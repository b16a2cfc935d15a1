// What `framepass share status` finds, over stand-ins of the devices.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { errno } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { UnavailableError } from "../../src/errors.ts";
import { openImporters, shareNames } from "../../src/share/index.ts";
import {
  type ShareHost,
  shareStatus,
  statusRecord,
  statusText,
  type WayStatus,
} from "../../src/share/status.ts";
import { GNTALLOC } from "../../src/share/xen-domain.ts";
import { FakeVirtioMedia, Hypervisor } from "../support/fake-virtio-media.ts";
import { FakeXen, noXen } from "../support/fake-xen.ts";
import { leftBehind, nothing } from "../support/resources.ts";

const nothingHere = (devDirectory: string): ShareHost => ({
  device: "/dev/video0",
  openDevice: () => {
    throw new UnavailableError("open /dev/video0: ENOENT; connect the camera");
  },
  devDirectory,
  xen: noXen(),
});

async function withDirectory(task: (directory: string) => void | Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "framepass-status-"));
  try {
    await task(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function rowOf(rows: readonly WayStatus[], way: string): WayStatus {
  const row = rows.find((each) => each.way === way);
  if (row === undefined) throw new Error(`no ${way}`);
  return row;
}

test("a machine with nothing: every way but fd says what is missing, in the order of auto", () =>
  withDirectory((directory) => {
    const rows = shareStatus(nothingHere(directory));
    expect(["auto", ...rows.map(({ way }) => way)]).toEqual([...shareNames]);
    expect(rowOf(rows, "xen-grant").send).toContain(`open ${GNTALLOC}: ENOENT`);
    expect(rowOf(rows, "xen-grant").send).toContain("modprobe xen-gntalloc");
    expect(rowOf(rows, "xen-grant").receive).toContain("modprobe xen-gntdev");
    expect(rowOf(rows, "virtio-media").send).toBe(
      "open /dev/video0: ENOENT; connect the camera; this way needs the out-of-tree virtio-media driver",
    );
    expect(rowOf(rows, "dax").send).toContain("modprobe -a device_dax dax_pmem");
    expect(rowOf(rows, "fd")).toMatchObject({ send: undefined, receive: undefined });
    for (const row of rows) expect(statusText(row).split("\n").length).toBeGreaterThan(1);
  }));

test("a machine with everything: domain, limit and size are there, and nothing stays open", () =>
  withDirectory(async (directory) => {
    const xen = new FakeXen().domain(3);
    xen.limit = 8192;
    using region = Fd.memory("region", 4 * 1024 * 1024);
    const host = {
      device: "/dev/video7",
      openDevice: () => new FakeVirtioMedia(new Hypervisor()),
      region: `/proc/self/fd/${region.number}`,
      devDirectory: directory,
      xen,
    };
    let rows: readonly WayStatus[] = [];
    const left = await leftBehind("memfd:", () => {
      rows = shareStatus(host);
    });
    expect(left).toEqual(nothing);
    expect(rows.map(({ send, receive }) => send ?? receive)).toEqual(rows.map(() => undefined));
    expect(rowOf(rows, "xen-grant").facts).toEqual({ domain: 3, limit: 8192 });
    expect(rowOf(rows, "dax").facts).toMatchObject({ size: 4 * 1024 * 1024 });
    expect(statusText(rowOf(rows, "xen-grant"))).toBe(
      [
        "xen-grant        Xen domains, by the kernel's xen-gntalloc and xen-gntdev",
        "  send, receive  yes",
        "  domain         3",
        "  limit          8192 pages of xen-gntalloc",
      ].join("\n"),
    );
    expect(JSON.parse(statusRecord(rowOf(rows, "xen-grant")))).toEqual({
      record: "share",
      way: "xen-grant",
      send: { usable: true },
      receive: { usable: true },
      domain: 3,
      limit: 8192,
    });
  }));

test("what status finds missing is what --share auto says", () =>
  withDirectory((directory) => {
    const xen = new FakeXen().domain(3);
    xen.fail.set("/dev/xen/gntdev", errno.EACCES);
    const device = new FakeVirtioMedia(new Hypervisor());
    device.fail.set("VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER", errno.ENOTTY);
    const host = { ...nothingHere(directory), openDevice: () => device, xen };
    const rows = shareStatus(host);
    expect(rowOf(rows, "xen-grant").send).toBeUndefined();
    const why = "open /dev/xen/gntdev: EACCES (permission denied)";
    expect(rowOf(rows, "xen-grant").receive).toBe(
      `${why}; run as root, or give yourself access to it`,
    );
    const ioctls = "VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER /dev/video7: ENOTTY";
    expect(rowOf(rows, "virtio-media").receive).toStartWith(ioctls);
    const options = { openDevice: () => device, region: undefined, local: false, xen };
    expect(() => openImporters("auto", options)).toThrow(ioctls);
    expect(() => openImporters("auto", options)).toThrow(why);
  }));

test("the first dax device of /dev is looked at, and a file that is none is refused", () =>
  withDirectory((directory) => {
    for (const name of ["dax1.0", "dax0.0", "video0"]) writeFileSync(join(directory, name), "");
    const dax = rowOf(shareStatus(nothingHere(directory)), "dax");
    expect(dax.facts).toEqual({ region: join(directory, "dax0.0") });
    expect(dax.send).toContain("neither a dax device nor a memfd");
  }));

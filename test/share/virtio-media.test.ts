// The virtio-media back-end over fake drivers of both revisions: the ioctls and their order, every failure, and peers
// that speak as the C programs do. The guest lab repeats this on a real vb2 queue (scenario zc-virtio-media).
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { pageSize } from "../../ffi/mapping.ts";
import { openCamera } from "../../src/capture/camera.ts";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { exitStatus, UnavailableError } from "../../src/errors.ts";
import { type SharedSource, shareSource } from "../../src/frame/sharing.ts";
import type { Loop } from "../../src/loop.ts";
import { openShared } from "../../src/share/index.ts";
import { exportVirtioMedia, importVirtioMedia, mapsHandles } from "../../src/share/virtio-media.ts";
import { FRAME_MAGIC, hello, makeHello } from "../../src/stream/hello.ts";
import { handleMessage, makeHandle, zcAck, zcFrame } from "../../src/stream/zero-copy/messages.ts";
import { FakeVirtioMedia, Hypervisor } from "../support/fake-virtio-media.ts";
import { noXen } from "../support/fake-xen.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { borrow, lend, onLoop, put, takeAll } from "../support/streams.ts";
import { thrown } from "../support/thrown.ts";

const never = new AbortController().signal;
const wish = {
  width: 64,
  height: 32,
  format: "YUYV",
  memory: "mmap",
  buffers: 4,
  heap: "",
  queueAtStart: true,
} as const;

const open = (device: FakeVirtioMedia, domain = 5): SharedSource =>
  shareSource(openCamera(device, wish), (source) => exportVirtioMedia(source, domain));

test.each([4000, 512] as const)(
  "%d references: 300 frames cross between two domains, every one right",
  async (references) => {
    const left = await leftBehind("memfd:", () =>
      onLoop(async (loop, near, far) => {
        const xen = new Hypervisor(references);
        const camera = new FakeVirtioMedia(xen);
        using importer = importVirtioMedia(new FakeVirtioMedia(xen));
        {
          using shared = open(camera);
          expect(shared.exporter.name).toBe(`virtio-media (${references} references)`);
          expect(importer.name).toBe(shared.exporter.name);
          expect([...xen.granted.values()]).toEqual([5, 5, 5, 5]);
          const reading = borrow(loop, far, [importer]).finally(() => far.close());
          expect(await lend(loop, near, shared, { frames: 300 })).toBe("done");
          expect(await reading).toEqual({ verified: 300, end: "closed" });
          expect(xen.exported.size).toBe(4);
        }
        expect(xen.exported.size).toBe(0);
        const last = (name: string) => camera.calls.lastIndexOf(name);
        const queuing = camera.calls.indexOf("VIDIOC_QBUF");
        expect(last("VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER")).toBeLessThan(queuing);
        expect(last("VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER")).toBeLessThan(queuing);
        expect(queuing).toBeLessThan(last("VIDIOC_STREAMON"));
        expect(last("VIDIOC_STREAMOFF")).toBeLessThan(
          camera.calls.indexOf("VIDIOC_VIRTIO_MEDIA_RELEASE_HANDLE"),
        );
        expect(camera.calls.filter((name) => name.endsWith("RELEASE_HANDLE")).length).toBe(4);
      }),
    );
    expect(left).toEqual(nothing);
  },
);

const codes = [
  ...(["EPERM", "EIO", "ENOMEM", "EBUSY", "ENODEV"] as const),
  ...(["EINVAL", "ENOTTY", "ENOSPC", "EFAULT"] as const),
];
const failing = ["EXPORT_BUFFER", "IMPORT_BUFFER", "RELEASE_HANDLE"].flatMap((call) =>
  codes.map((code) => [call, code] as const),
);
test.each(failing)(
  "%s fails with %s on the sender: one line, exit 3, nothing left exported",
  async (call, code) => {
    const left = await leftBehind("memfd:", () => {
      const xen = new Hypervisor();
      const camera = new FakeVirtioMedia(xen);
      camera.fail.set(`VIDIOC_VIRTIO_MEDIA_${call}`, errno[code]);
      if (call === "RELEASE_HANDLE") {
        open(camera)[Symbol.dispose](); // says so in the log, and goes on
        expect(camera.calls.filter((name) => name.endsWith(call)).length).toBe(4);
        return;
      }
      const error = thrown(() => open(camera));
      expect(exitStatus(error)).toBe(3);
      expect(error.message).toMatch(`VIDIOC_VIRTIO_MEDIA_${call} /dev/video7: ${code} `);
      expect(error.message).not.toContain("\n");
      expect(xen.exported.size).toBe(0);
    });
    expect(left).toEqual(nothing);
  },
);

test.each(["EPERM", "EIO", "ENOMEM", "EINVAL", "ENOSPC"] as const)(
  "IMPORT_BUFFER fails with %s on the receiver: one line, exit 3, nothing left mapped",
  async (code) => {
    const left = await leftBehind("memfd:", () =>
      onLoop(async (loop, near, far) => {
        const xen = new Hypervisor();
        const device = new FakeVirtioMedia(xen);
        using importer = importVirtioMedia(device);
        using shared = open(new FakeVirtioMedia(xen));
        device.fail.set("VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER", errno[code]);
        const reading = borrow(loop, far, [importer]).catch((error: Error) => error);
        const lending = lend(loop, near, shared, { frames: 10 }).catch((error: Error) => error);
        const error = await reading;
        far.close();
        await lending;
        expect(exitStatus(error)).toBe(3);
        expect((error as Error).message).toContain(
          `VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER /dev/video7: ${code}`,
        );
      }),
    );
    expect(left).toEqual(nothing);
  },
);

test("the driver's IMPORT answers the bytes of whole pages, and a picture stays as long as it was", async () => {
  const picture = { width: 66, height: 33 }; // 4356 bytes: the second page is not full
  await onLoop(async (loop, near, far) => {
    const xen = new Hypervisor();
    const camera = openCamera(new FakeVirtioMedia(xen, picture), { ...wish, ...picture });
    using importer = importVirtioMedia(new FakeVirtioMedia(xen, picture));
    using source = shareSource(camera, (of) => exportVirtioMedia(of, 5));
    expect(xen.answers.every((length) => length === 2 * pageSize)).toBe(true);
    const reading = borrow(loop, far, [importer]).finally(() => far.close());
    expect(await lend(loop, near, source, { frames: 20 })).toBe("done");
    expect(await reading).toEqual({ verified: 20, end: "closed" });
    expect(xen.answers).toEqual(Array(8).fill(2 * pageSize)); // granted and taken, four buffers each
    for (const handle of source.exporter.handles) expect(handle.length).toBe(4356);
  });
});

test("what cannot work is refused before streaming: pages, domain, page size, a driver without the ioctls", () => {
  const refusal = (
    set: (xen: Hypervisor) => void,
    domain = 5,
    picture = { width: 64, height: 32 },
    references: 4000 | 512 = 4000,
  ) => {
    const xen = new Hypervisor(references);
    set(xen);
    const camera = new FakeVirtioMedia(xen, picture);
    const error = thrown(() =>
      shareSource(openCamera(camera, { ...wish, ...picture }), (of) =>
        exportVirtioMedia(of, domain),
      ),
    );
    expect(error).toBeInstanceOf(UnavailableError);
    expect(camera.calls).not.toContain("VIDIOC_STREAMON");
    expect(xen.exported.size).toBe(0);
    return error.message;
  };
  const plain = () => undefined;
  const uhd = { width: 3840, height: 2160 };
  expect(refusal(plain, 5, uhd)).toContain(
    "needs 4050 grant references, virtio-media carries 4000",
  );
  expect(refusal(plain, 5, { width: 1024, height: 1025 }, 512)).toContain(
    "needs 513 grant references, virtio-media carries 512",
  );
  expect(refusal(plain, 32_752)).toContain("--domid is 32752, a Xen domain id is 0 to 32751");
  const large = (xen: Hypervisor) => {
    xen.pageBytes = 65_536;
  };
  expect(refusal(large)).toContain(`pages of 65536 bytes, this host has pages of ${pageSize}`);
  const few = (xen: Hypervisor) => {
    xen.grants = 0;
  };
  expect(refusal(few)).toContain("0 grant references for 1 pages");
});

/** Reads exactly `size` bytes, as a program that waits for them would. */
async function readExactly(loop: Loop, socket: Fd, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(new ArrayBuffer(size));
  let got = 0;
  for (let i = 0; i < 2000 && got < size; i++) {
    const bytes = takeAll(socket, size - got);
    all.set(bytes, got);
    got += bytes.length;
    if (got < size) await loop.sleep(1, never);
  }
  if (got < size) throw new Error(`${got} of ${size} bytes came`);
  return all;
}

/** The bytes of a handle of each revision of the C programs. */
const handleSizes = { 4000: handleMessage.size, 512: 2088 } as const;
const revisions = [4000, 512] as const;

test.each(revisions)(
  "a receiver that takes one frame and acknowledges it, as the C program with %d references does, gets 50 frames",
  (references) =>
    onLoop(async (loop, near, far) => {
      const xen = new Hypervisor(references);
      using shared = open(new FakeVirtioMedia(xen));
      const lending = lend(loop, near, shared, { frames: 50 });
      const greeting = hello.over(await readExactly(loop, far, hello.size));
      expect(greeting.$bytes.toHex()).toBe(
        "56344c42" + "00000002" + "00000040" + "00000020" + "56595559" + "00001000" + "00000004",
      );
      const ids: bigint[] = [];
      for (let i = 0; i < greeting.buffer_count; i++) {
        const bytes = await readExactly(loop, far, handleSizes[references]);
        const handle = handleMessage.alloc();
        handle.$bytes.set(bytes);
        expect(handle.magic).toBe(0x56484e44);
        expect(handle.flags & 1).toBe(1);
        expect([handle.gref_count, handle.gref_page_size, handle.gref_domid]).toEqual([1, 4096, 3]);
        ids.push(handle.handle_id);
      }
      for (let n = 0; n < 50; n++) {
        const frame = await readExactly(loop, far, zcFrame.size);
        const view = new DataView(frame.buffer);
        expect(view.getUint32(0)).toBe(FRAME_MAGIC);
        expect(ids).toContain(view.getBigUint64(16));
        expect(view.getBigUint64(24)).toBe(BigInt(n));
        const ack = new DataView(new ArrayBuffer(24));
        ack.setUint32(0, FRAME_MAGIC);
        ack.setBigUint64(8, view.getBigUint64(16));
        ack.setBigUint64(16, view.getBigUint64(24));
        put(far, new Uint8Array(ack.buffer));
      }
      expect(await readExactly(loop, far, 1).catch(() => "end")).toBe("end");
      far.close();
      expect(await lending).toBe("done");
    }),
);

test.each(
  revisions.flatMap((references) => [1, 4].map((buffers) => [references, buffers] as const)),
)(
  "a sender that waits for each acknowledgement, as the C program with %d references and %d buffers does, is served",
  (references, buffers) =>
    onLoop(async (loop, near, far) => {
      const xen = new Hypervisor(references);
      using camera = openCamera(new FakeVirtioMedia(xen), { ...wish, buffers });
      using exporter = exportVirtioMedia(camera, 5);
      using importer = importVirtioMedia(new FakeVirtioMedia(xen));
      const reading = borrow(loop, far, [importer]);
      put(near, makeHello(camera.picture, buffers).$bytes);
      for (const handle of exporter.handles) {
        const { $bytes } = makeHandle(handle);
        put(near, $bytes.slice(0, 1000)); // a message may come in parts
        await loop.sleep(5, never);
        put(near, $bytes.slice(1000, handleSizes[references]));
        await loop.sleep(5, never);
      }
      camera.start();
      for (let n = 0; n < 50; n++) {
        using frame = camera.next();
        if (frame === undefined) throw new Error("no frame");
        const message = new DataView(new ArrayBuffer(48));
        message.setUint32(0, FRAME_MAGIC);
        message.setUint32(4, frame.index);
        message.setUint32(8, frame.bytesused);
        message.setUint32(12, frame.flags);
        message.setBigUint64(16, exporter.handles[frame.index]?.id ?? 0n);
        message.setBigUint64(24, BigInt(frame.sequence));
        put(near, new Uint8Array(message.buffer));
        const ack = zcAck.over(await readExactly(loop, near, zcAck.size));
        expect([ack.magic, ack.status, ack.sequence]).toEqual([FRAME_MAGIC, 0, n]);
        const id = new DataView(ack.$bytes.buffer, ack.$bytes.byteOffset).getBigUint64(8);
        expect(id).toBe(exporter.handles[frame.index]?.id ?? 0n);
      }
      near.close();
      expect(await reading).toEqual({ verified: 50, end: "closed" });
    }),
);

test("a sender with handles of 512 references that closes before its first frame has left, and one that goes on in neither way is refused", async () => {
  const greeted = (buffers: number, after: Uint8Array<ArrayBuffer>) =>
    onLoop(async (loop, near, far) => {
      const xen = new Hypervisor(512);
      using camera = openCamera(new FakeVirtioMedia(xen), { ...wish, buffers });
      using exporter = exportVirtioMedia(camera, 5);
      using importer = importVirtioMedia(new FakeVirtioMedia(xen));
      put(near, makeHello(camera.picture, buffers).$bytes);
      const [first] = exporter.handles;
      if (first === undefined) throw new Error("no handle");
      put(near, makeHandle(first).$bytes.slice(0, 2088));
      put(near, after);
      near.close();
      return await borrow(loop, far, [importer]).catch((error: Error) => error.message);
    });
  const none = new Uint8Array(new ArrayBuffer(0));
  expect(await greeted(1, none)).toMatchObject({ end: "closed" });
  expect(await greeted(2, none)).toContain("closed after 2088 of the 2092 bytes of a handle");
  const frame = zcFrame.alloc();
  frame.magic = FRAME_MAGIC;
  expect(await greeted(2, frame.$bytes)).toContain("of the 16040 bytes of a handle");
});

const shares = (device: FakeVirtioMedia, domain: number | undefined, opened: string[]) => ({
  open: (memory: string) => {
    opened.push(memory);
    if (memory === "mmap") return openCamera(device, wish);
    return openTestSource("testsrc", { ...wish, fps: 0 });
  },
  domain,
  region: undefined,
  local: true,
  xen: noXen(),
});

test.each(["ENOTTY", "EINVAL", "EOPNOTSUPP", "EIO"] as const)(
  "--share auto goes on to fd when EXPORT_BUFFER fails with %s, and without --domid asks no driver",
  (code) => {
    const device = new FakeVirtioMedia(new Hypervisor());
    device.fail.set("VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER", errno[code]);
    const opened: string[] = [];
    {
      using shared = openShared("auto", shares(device, 5, opened));
      expect(shared.exporter.name).toBe("fd");
    }
    {
      using shared = openShared("auto", shares(device, undefined, opened));
      expect(shared.exporter.name).toBe("fd");
    }
    expect(opened).toEqual(["mmap", "auto", "auto"]);
  },
);

test("--share auto names the call that failed where there is no other way", () => {
  const device = new FakeVirtioMedia(new Hypervisor());
  device.fail.set("VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER", errno.EPERM);
  const options = { ...shares(device, 5, []), local: false };
  const call = "VIDIOC_VIRTIO_MEDIA_EXPORT_BUFFER /dev/video7: EPERM ";
  expect(() => openShared("auto", options)).toThrow(call);
  expect(() => openShared("auto", options)).toThrow("give --region");
});

test("--share auto takes a driver that exports a buffer, and leaves no handle behind", () => {
  const xen = new Hypervisor(512);
  {
    using shared = openShared("auto", shares(new FakeVirtioMedia(xen), 5, []));
    expect(shared.exporter.name).toBe("virtio-media (512 references)");
    expect(xen.exported.size).toBe(4);
  }
  expect(xen.exported.size).toBe(0);
});

test("-D is missed before the camera is opened", () => {
  const opened: string[] = [];
  const device = new FakeVirtioMedia(new Hypervisor());
  const options = { ...shares(device, undefined, opened), local: false };
  expect(() => openShared("virtio-media", options)).toThrow("--domid is required");
  expect(() => openShared("auto", options)).toThrow("give --domid");
  expect(opened).toEqual([]);
});

test("a driver that answers all private ioctls alike has none of them", () => {
  const device = new FakeVirtioMedia(new Hypervisor());
  expect(mapsHandles(device)).toBe(true);
  for (const code of ["ENOTTY", "EINVAL", "EOPNOTSUPP"] as const) {
    device.fail.set("VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER", errno[code]);
    expect(mapsHandles(device)).toBe(false);
  }
});

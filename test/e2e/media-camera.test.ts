// vhost-user-media as its users start it: a guest's camera shows the built-in source, and what a sender sends in either flow. The stream
// of the guest outlives its senders. The monitor is a fake; the guest lab has a real one.
import { expect, test } from "bun:test";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { fourcc } from "../../src/format/formats.ts";
import { StampedBuffer } from "../../src/format/stamp.ts";
import { built, freePort, TempDir, Tool } from "../support/tool.ts";
import { BufferMonitor } from "../support/vhost/buffer-monitor.ts";
import { DriverQueue } from "../support/vhost/driver.ts";
import { FrontEnd } from "../support/vhost/front-end.ts";
import { GuestRam } from "../support/vhost/guest-ram.ts";
import { MediaGuest } from "../support/vhost/media-guest.ts";
import { Hypervisor, monitor } from "../support/vhost/monitors.ts";
import { onLoop } from "../support/vhost/scene.ts";

const REGION = 64 << 20;
const SIZE = { width: 320, height: 240, pixelformat: fourcc("YUYV") };
const BYTES = 320 * 240 * 2;

/** A guest whose monitor is connected to the daemon at `socket`. */
async function withGuest(socket: string, act: (guest: MediaGuest) => Promise<void>): Promise<void> {
  await onLoop(async (loop) => {
    using owned = new DisposableStack();
    const frontEnd = owned.use(new FrontEnd(loop, startConnect(unixAddress(socket))));
    const ram = owned.use(new GuestRam());
    const queues = [64, 64].map((size) => owned.use(new DriverQueue(loop, ram, size)));
    const [commands, events] = queues;
    if (commands === undefined || events === undefined) throw new Error("two queues");
    const buffers = owned.use(new BufferMonitor(loop, REGION));
    const hypervisor = new Hypervisor(monitor("QEMU"), frontEnd, { ram, queues, buffers });
    await hypervisor.realize();
    await hypervisor.activate();
    const guest = new MediaGuest({ loop, ram, commands, events, buffers });
    await guest.open();
    await act(guest);
    expect(buffers.crashes).toBe(0);
  });
}

/** The number of the next picture's stamp, or what it is instead: "not stamped" for a stand-by picture. */
async function next(guest: MediaGuest): Promise<number | string> {
  const { index, bytesused } = await guest.frame();
  expect(bytesused).toBe(BYTES);
  const found = new StampedBuffer(guest.bytes(index).subarray(0, BYTES)).read();
  await guest.queue(index);
  return found;
}

/** Takes pictures until one has a stamp; at most for `limitMs`. */
async function stamped(guest: MediaGuest, limitMs = 15_000): Promise<number> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await next(guest);
    if (typeof found === "number") return found;
    expect(found).toBe("not stamped");
    if (performance.now() > endMs) throw new Error("no picture of the sender came");
  }
}

/** Takes `count` pictures in a row of one sender: none torn, none twice, none older than the last one. */
async function inOrder(guest: MediaGuest, count: number): Promise<void> {
  let last = await stamped(guest);
  for (let i = 1; i < count; i++) {
    const number = await next(guest);
    expect(number).toBeGreaterThan(last);
    last = number as number;
  }
}

const daemon = (socket: string, ...words: string[]) =>
  Tool.start("vhost-user-media", ["-s", socket, "--memory", "64M", "--once", ...words]);

test("a guest sees the built-in source", async () => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("camera.sock");
  await using tool = await daemon(socket, "-d", "testsrc");
  await tool.says("listening on");
  await withGuest(socket, async (guest) => {
    await guest.prepare(4, SIZE);
    await guest.stream(true);
    await inOrder(guest, 40);
    await guest.stream(false);
    await guest.close();
  });
});

test("a guest sees what a sender sends, a stand-by picture without one, and the next sender's pictures", async () => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("camera.sock");
  const port = freePort();
  await using tool = await daemon(socket, "-l", "127.0.0.1", "-p", port);
  await tool.says("listening on");
  const sender = () =>
    Tool.start("sender", [
      ...["-d", "testsrc", "-W", "320", "-H", "240", "-r", "30"],
      ...["-a", "127.0.0.1", "-p", port],
    ]);
  await withGuest(socket, async (guest) => {
    await guest.prepare(4, SIZE);
    await guest.stream(true);
    expect(await next(guest)).toBe("not stamped");
    {
      await using _first = await sender();
      await inOrder(guest, 30);
    }
    for (let found: number | string = 0; found !== "not stamped"; ) found = await next(guest);
    await using _second = await sender();
    await inOrder(guest, 30);
  });
});

test("an address that is in use is tried again until it is free", async () => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("camera.sock");
  const port = freePort();
  const other = Bun.listen({
    hostname: "127.0.0.1",
    port: Number(port),
    socket: { data: () => undefined },
  });
  try {
    await using tool = await daemon(socket, "-l", "127.0.0.1", "-p", port);
    await tool.says("listening on");
    await withGuest(socket, async (guest) => {
      await guest.prepare(4, SIZE);
      await guest.stream(true);
      await tool.says("another program listens there");
      expect(await next(guest)).toBe("not stamped");
      other.stop(true);
      await tool.says(`listening on 127.0.0.1:${port}`);
      await using _sender = await Tool.start("sender", [
        ...["-d", "testsrc", "-W", "320", "-H", "240", "-r", "30"],
        ...["-a", "127.0.0.1", "-p", port],
      ]);
      await inOrder(guest, 10);
    });
  } finally {
    other.stop(true);
  }
});

test("a guest sees the buffers of a sender_zc on this host, copied once", async () => {
  await built();
  using temp = new TempDir();
  const socket = temp.file("camera.sock");
  const frames = `unix:${temp.file("frames")}`;
  await using tool = await daemon(socket, "-l", frames, "--zero-copy");
  await tool.says("listening on");
  await withGuest(socket, async (guest) => {
    await guest.prepare(4, SIZE);
    await guest.stream(true);
    await using _sender = await Tool.start("sender_zc", [
      ...["-d", "testsrc", "-W", "320", "-H", "240", "-r", "30", "-a", frames],
    ]);
    await inOrder(guest, 30);
  });
});

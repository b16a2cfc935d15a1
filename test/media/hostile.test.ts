// A hostile guest: what it can send, line by line. Every command is answered once, nothing outside guest memory is touched, and the
// device works afterwards.
import { afterEach, expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { fourcc } from "../../src/format/formats.ts";
import { gives, takes } from "../../src/media/ioctl-row.ts";
import { ioctlRows } from "../../src/media/ioctls.ts";
import * as p from "../../src/media/protocol.ts";
import { MAX_SESSIONS } from "../../src/media/session.ts";
import { memEntry } from "../../src/virtio/guest-ranges.ts";
import { BASE, MediaDriver, statusOf } from "../support/media-driver.ts";
import { MediaProgram, scatterList } from "../support/media-program.ts";

const CAPTURE = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
const QVGA = { width: 320, height: 240, format: "YUYV" };
const QVGA_BYTES = 153_600;

let used: MediaDriver | undefined;
function open(options?: ConstructorParameters<typeof MediaDriver>[0]): MediaDriver {
  used = new MediaDriver(options);
  return used;
}

/** After each test: a stream still works, and nothing was written outside guest memory. */
afterEach(() => {
  if (used === undefined) return;
  using driver = used;
  used = undefined;
  driver.reset();
  driver.hasRegion = true;
  driver.region.mode = "at once";
  driver.start();
  const program = new MediaProgram(driver);
  program.stream(2);
  driver.source.show(9);
  expect(driver.frames.at(-1)?.session).toBe(program.session);
  driver.memory.checkGuards();
});

/** A command with its fixed fields, cut or lengthened to `length`. */
function ioctlBytes(session: number, code: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(length, p.ioctlCommand.size)));
  p.header.over(bytes).cmd = p.IOCTL;
  const q = p.ioctlCommand.over(bytes);
  q.session_id = session;
  q.code = code;
  return bytes.slice(0, length);
}

// Chains.

test.each([0, 1, 7])("a command of %d bytes is refused with EINVAL", (length) => {
  const driver = open();
  const sent = driver.raw(new Uint8Array(new ArrayBuffer(length)), 8);
  expect(statusOf(sent)).toBe(errno.EINVAL);
});

test("a command without room for an answer is returned empty", () => {
  const driver = open();
  for (const cmd of [0, 1, 3, 4, 5, 6, 0xffff_ffff]) {
    const bytes = new Uint8Array(new ArrayBuffer(24));
    p.header.over(bytes).cmd = cmd;
    const sent = driver.raw(bytes, 0);
    expect(sent.answers).toBe(1);
    expect(sent.reply?.length).toBe(0);
  }
});

test("an OPEN without room for its answer opens no session", () => {
  const driver = open();
  const q = p.header.alloc();
  q.cmd = p.OPEN;
  for (let i = 0; i < 100; i++)
    expect(statusOf(driver.raw(q.$bytes.slice(), 15))).toBe(errno.EINVAL);
  driver.open();
});

test("unknown commands are refused with ENOTTY", () => {
  const driver = open();
  for (const cmd of [0, 6, 7, 0x8000_0000, 0xffff_ffff]) {
    const q = p.header.alloc();
    q.cmd = cmd;
    expect(statusOf(driver.raw(q.$bytes, 16))).toBe(errno.ENOTTY);
  }
});

test.each([
  ["CLOSE", p.CLOSE, p.closeCommand.size],
  ["IOCTL", p.IOCTL, p.ioctlCommand.size],
  ["MMAP", p.MMAP, p.mmapCommand.size],
  ["MUNMAP", p.MUNMAP, p.munmapCommand.size],
])("a %s that is cut off is refused with EINVAL", (_, cmd, size) => {
  const driver = open();
  for (let length = p.header.size; length < size; length++) {
    const bytes = new Uint8Array(new ArrayBuffer(length));
    p.header.over(bytes).cmd = cmd;
    expect(statusOf(driver.raw(bytes, 24))).toBe(errno.EINVAL);
  }
});

// Sessions.

test("a guest that opens without end gets EMFILE, and may open again after a CLOSE", () => {
  const driver = open();
  const sessions = Array.from({ length: MAX_SESSIONS }, () => driver.open());
  expect(() => driver.open()).toThrow(`OPEN: ${errno.EMFILE}`);
  driver.close(sessions[3] ?? 0);
  expect(sessions).not.toContain(driver.open());
  expect(driver.source.starts).toBe(0);
});

test("sessions of another driver, closed and unknown ones are refused with EINVAL", () => {
  const driver = open();
  const closed = driver.open();
  driver.close(closed);
  driver.reset();
  driver.start();
  for (const session of [closed, 0, 1, 2, 0xffff_ffff])
    expect(driver.ioctl(session, v.VIDIOC_G_INPUT).status).toBe(errno.EINVAL);
});

test("two processes begin with different session numbers", () => {
  const driver = open();
  using other = new MediaDriver();
  expect(driver.open()).not.toBe(other.open());
});

test("CLOSE is answered with nothing, also for an unknown session and with room for an answer", () => {
  const driver = open();
  const session = driver.open();
  for (const id of [session, session, 0xdead]) expect(driver.close(id).reply?.length).toBe(0);
  const q = p.closeCommand.alloc();
  p.header.over(q.$bytes).cmd = p.CLOSE;
  expect(driver.raw(q.$bytes, 64).reply?.length).toBe(0);
});

// Ioctls.

test("every number without a row is refused with ENOTTY", () => {
  const driver = open();
  const session = driver.open();
  const known = new Set(ioctlRows.map(({ ioctl }) => ioctl.code & 0xff));
  for (let code = 0; code < 300; code++) {
    if (known.has(code)) continue;
    expect(statusOf(driver.raw(ioctlBytes(session, code, 16 + 300), 512))).toBe(errno.ENOTTY);
  }
  for (const code of [0xc0d05605, 0x8000_0000, 0xffff_ffff])
    expect(statusOf(driver.raw(ioctlBytes(session, code, 224), 512))).toBe(errno.ENOTTY);
});

test.each(ioctlRows)("$ioctl.name: every wrong length is refused, the right one is not", (row) => {
  const driver = open();
  const session = driver.open();
  const { size } = row.ioctl.argument;
  const code = row.ioctl.code & 0xff;
  const right = takes(row.ioctl) ? size : 0;
  for (let length = 0; length < size + 40; length++) {
    const sent = driver.raw(ioctlBytes(session, code, 16 + length), 8 + size + 64);
    expect(sent.answers).toBe(1);
    const status = statusOf(sent);
    // Linux sends the argument of G_INPUT although its direction is R.
    const fits = length === right || (!takes(row.ioctl) && length === size);
    // A row with a list checks what follows itself, and without controls there is nothing to check.
    if (!fits && row.tail === undefined) expect(status).toBe(errno.EINVAL);
    if (length < right) expect(status).toBe(errno.EINVAL);
  }
  // Without room for the answer nothing is done.
  const least = 8 + (gives(row.ioctl) ? size : 0);
  const short = driver.raw(ioctlBytes(session, code, 16 + right), least - 1);
  expect(statusOf(short)).toBe(errno.EINVAL);
});

test.each(ioctlRows)("$ioctl.name: any word of the argument may be any number", (row) => {
  const driver = open();
  const session = driver.open();
  const { size } = row.ioctl.argument;
  for (const type of [0, 1])
    for (let at = 0; at + 4 <= size; at += 4)
      for (const value of [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
        const bytes = ioctlBytes(
          session,
          row.ioctl.code & 0xff,
          16 + (takes(row.ioctl) ? size : 0),
        );
        const view = new DataView(bytes.buffer);
        if (bytes.length >= 24) view.setUint32(20, type, true);
        if (bytes.length >= 16 + at + 4) view.setUint32(16 + at, value, true);
        const sent = driver.raw(bytes, 8 + size);
        expect(sent.answers).toBe(1);
        const status = statusOf(sent);
        expect(status >= 0 && status < 4096).toBe(true);
      }
});

test("sizes of 0 and of 2^31 and unknown formats become offered ones", () => {
  const driver = open();
  const session = driver.open();
  for (const [width, height] of [
    [0, 0],
    [0x8000_0000, 0x8000_0000],
    [0xffff_ffff, 1],
  ] as const) {
    const { status, q } = driver.ioctl(session, v.VIDIOC_TRY_FMT, (wish) => {
      wish.type = CAPTURE;
      wish["fmt.pix.width"] = width;
      wish["fmt.pix.height"] = height;
      wish["fmt.pix.pixelformat"] = 0xdead_beef;
    });
    expect(status).toBe(0);
    expect(q["fmt.pix.pixelformat"]).toBe(fourcc("YUYV"));
    expect(q["fmt.pix.sizeimage"]).toBe(q["fmt.pix.width"] * q["fmt.pix.height"] * 2);
  }
});

// Buffers.

test("QBUF: a wrong index, type or memory, a buffer twice, and one that was freed are refused", () => {
  const driver = open();
  const program = new MediaProgram(driver);
  expect(program.queue(0).status).toBe(errno.EINVAL);
  program.request(2);
  for (const index of [2, 32, 0xffff_ffff]) expect(program.queue(index).status).toBe(errno.EINVAL);
  expect(program.queue(0, v.V4L2_MEMORY_USERPTR).status).toBe(errno.EINVAL);
  expect(program.queue(0, v.V4L2_MEMORY_DMABUF).status).toBe(errno.EINVAL);
  expect(program.queue(0).status).toBe(0);
  expect(program.queue(0).status).toBe(errno.EINVAL);
  program.request(0);
  expect(program.queue(0).status).toBe(errno.EINVAL);
});

test("two sessions: only the owner of the buffers streams, the other may ask", () => {
  const driver = open();
  const owner = new MediaProgram(driver);
  const other = new MediaProgram(driver);
  owner.stream(2);
  for (const answer of [other.request(1), other.request(0), other.setFormat(QVGA)])
    expect(answer.status).toBe(errno.EBUSY);
  expect(other.on()).toBe(errno.EBUSY);
  expect(other.off()).toBe(errno.EBUSY);
  expect(other.queue(0).status).toBe(errno.EBUSY);
  expect(driver.ioctl(other.session, v.VIDIOC_G_INPUT).status).toBe(0);
  const [asked, own] = [other.query(1), owner.query(1)];
  expect(asked.status).toBe(0);
  expect(asked.q.$bytes).toEqual(own.q.$bytes);
  expect(other.query(2).status).toBe(errno.EINVAL);
  other.close();
  driver.source.show(1);
  expect(driver.frames.length).toBe(1);
});

test("REQBUFS with more than 32 gets 32, other types and memories are refused", () => {
  const driver = open();
  const program = new MediaProgram(driver);
  expect(program.request(0xffff_ffff).q.count).toBe(32);
  for (const memory of [0, v.V4L2_MEMORY_USERPTR, 3, v.V4L2_MEMORY_DMABUF, 0xffff_ffff])
    expect(program.request(1, memory).status).toBe(errno.EINVAL);
});

// Scatter lists.

function userProgram(): { driver: MediaDriver; program: MediaProgram } {
  const driver = open({ regionBytes: 0 });
  const program = new MediaProgram(driver);
  program.setFormat(QVGA);
  expect(program.request(2, v.V4L2_MEMORY_USERPTR).q.capabilities).toBe(
    v.V4L2_BUF_CAP_SUPPORTS_USERPTR,
  );
  return { driver, program };
}

/** QBUF of buffer 0 with that list. */
const queueList = (
  { driver, program }: ReturnType<typeof userProgram>,
  tail: Uint8Array<ArrayBuffer>,
  length = QVGA_BYTES,
) =>
  driver.ioctl(
    program.session,
    v.VIDIOC_QBUF,
    (q) => {
      q.type = CAPTURE;
      q.memory = v.V4L2_MEMORY_USERPTR;
      q.length = length;
    },
    { tail, echo: 0 },
  ).status;

const listOf = (...entries: readonly (readonly [bigint, number])[]) => {
  const bytes = new Uint8Array(new ArrayBuffer(entries.length * memEntry.size));
  for (const [i, [addr, length]] of entries.entries()) {
    const entry = memEntry.over(bytes, i * memEntry.size);
    entry.addr = addr;
    entry.length = length;
  }
  return bytes;
};

test.each([
  ["no entry", listOf()],
  ["an entry of length 0", listOf([BASE, 0], [BASE, QVGA_BYTES])],
  ["fewer bytes than the buffer has", listOf([BASE, QVGA_BYTES - 1])],
  ["half an entry", listOf([BASE, QVGA_BYTES]).slice(0, 8)],
  ["an address outside guest memory", listOf([0n, QVGA_BYTES])],
  ["an address that wraps", listOf([0xffff_ffff_ffff_f000n, QVGA_BYTES])],
  ["an entry that leaves guest memory", listOf([BASE + (1n << 22n) - 4096n, QVGA_BYTES])],
  ["5000 entries", scatterList(BASE, 5000 * 64, 64)],
])("a scatter list with %s is refused", (_, tail) => {
  const scene = userProgram();
  expect(queueList(scene, tail)).toBe(errno.EINVAL);
  expect(queueList(scene, listOf([BASE, QVGA_BYTES]))).toBe(0);
});

test("a buffer of the guest that is smaller than a picture is refused", () => {
  const scene = userProgram();
  for (const length of [0, 1, QVGA_BYTES - 1])
    expect(queueList(scene, listOf([BASE, QVGA_BYTES]), length)).toBe(errno.EINVAL);
  expect(queueList(scene, listOf([BASE, QVGA_BYTES]), 0xffff_ffff)).toBe(errno.EINVAL);
});

test("a list that is longer than the buffer is cut, and the same page may come twice", () => {
  const scene = userProgram();
  const { driver, program } = scene;
  const tail = listOf([BASE, 4096], [BASE, QVGA_BYTES], [BASE + 0x10_0000n, 4096]);
  expect(queueList(scene, tail)).toBe(0);
  program.on();
  driver.memory.bytes(BASE + 0x10_0000n, 4096).fill(3);
  driver.source.show(1);
  expect(driver.frames.length).toBe(1);
  expect(driver.memory.bytes(BASE + 0x10_0000n, 4096).every((byte) => byte === 3)).toBe(true);
});

test("a scatter list for a buffer of the device is refused", () => {
  const driver = open();
  const program = new MediaProgram(driver);
  program.request(1);
  const { status } = driver.ioctl(
    program.session,
    v.VIDIOC_QBUF,
    (q) => {
      q.type = CAPTURE;
      q.memory = v.V4L2_MEMORY_MMAP;
    },
    { tail: listOf([BASE, 4096]), echo: 0 },
  );
  expect(status).toBe(errno.EINVAL);
});

test("memory that has left the guest's table is not written: the picture is left out", () => {
  const scene = userProgram();
  const { driver, program } = scene;
  expect(queueList(scene, listOf([BASE, QVGA_BYTES]))).toBe(0);
  program.on();
  driver.memory.replace([{ address: 0x9000_0000n, length: 1 << 20 }]);
  driver.device.memoryChanged(driver.memory);
  driver.source.show(1);
  expect(driver.frames.length).toBe(0);
  expect(driver.counts.damaged).toBe(1);
  driver.memory.replace([{ address: BASE, length: 1 << 22 }]);
  driver.device.memoryChanged(driver.memory);
  driver.source.show(2);
  expect(driver.frames.length).toBe(1);
  expect(driver.memory.bytes(BASE, QVGA_BYTES).every((byte) => byte === 2)).toBe(true);
});

test("while the guest is paused its memory is not written", () => {
  const scene = userProgram();
  const { driver, program } = scene;
  expect(queueList(scene, listOf([BASE, QVGA_BYTES]))).toBe(0);
  program.on();
  driver.device.pause();
  driver.source.show(1);
  driver.loop.run();
  expect(driver.memory.bytes(BASE, QVGA_BYTES).every((byte) => byte === 0)).toBe(true);
  driver.device.resume();
  driver.source.show(2);
  expect(driver.frames.length).toBe(1);
});

// Events.

test("only events of controls that exist can be subscribed to", () => {
  const driver = open();
  const session = driver.open();
  for (const type of [0, 1, 2, 3, 4, 5, 6, 0xffff_ffff])
    for (const id of [0, 0x0098_0900, 0xffff_ffff]) {
      const { status } = driver.ioctl(session, v.VIDIOC_SUBSCRIBE_EVENT, (q) => {
        q.type = type;
        q.id = id;
      });
      expect(status).toBe(errno.EINVAL);
    }
});

test("starts and stops in a loop start the source no oftener, and leave no timer behind", () => {
  const driver = open();
  const program = new MediaProgram(driver);
  program.stream(2);
  const { timers } = driver.loop;
  for (let i = 0; i < 100; i++) {
    program.off();
    expect(program.on()).toBe(0);
  }
  expect(driver.loop.timers).toBe(timers);
});

test("a reset in the middle of everything closes sessions, stops the source and frees the quota", () => {
  const driver = open();
  const program = new MediaProgram(driver);
  program.stream(4);
  driver.region.mode = "late";
  program.off();
  driver.mmap(program.session, 0xffff_0000);
  program.on();
  driver.reset();
  expect(driver.source.viewer).toBeUndefined();
  expect(driver.loop.timers).toBe(0);
  expect(driver.region.mapped.size).toBe(0);
});

test("a guest's faults are logged a few times and counted each time", () => {
  const driver = open();
  for (let i = 0; i < 1000; i++) driver.raw(new Uint8Array(new ArrayBuffer(3)), 8);
  expect(driver.complaints.length).toBeLessThan(5);
  expect(driver.refusals).toBe(1000);
});

// Buffers that guests map: they live as long as somebody needs them, and every address is checked.
import { expect, spyOn, test } from "bun:test";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import { mmapAnswer } from "../../src/media/protocol.ts";
import { REGION_GRAIN } from "../../src/virtio/region-allocator.ts";
import { MediaDriver, statusOf } from "../support/media-driver.ts";
import { MediaProgram } from "../support/media-program.ts";
import { openDescriptors } from "../support/resources.ts";

test("handles and places are multiples of 64 KiB, and the length is that of the buffer", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(3);
  const handles = [0, 1, 2].map((i) => program.query(i).q["m.offset"]);
  expect(new Set(handles).size).toBe(3);
  for (const handle of handles) {
    expect(handle % REGION_GRAIN).toBe(0);
    const answer = driver.mmap(program.session, handle).as(mmapAnswer);
    expect(Number(answer.driver_addr) % REGION_GRAIN).toBe(0);
    expect(answer.len).toBe(614_400n);
  }
  for (const { length, memory } of driver.region.mapped.values()) {
    expect(length % REGION_GRAIN).toBe(0);
    expect(memory.bytes.every((byte) => byte === 0)).toBe(true);
  }
});

test("a buffer that is mapped twice has one place", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(1);
  expect(program.map(0)).toBe(program.map(0));
  expect(driver.region.maps).toBe(1);
});

test("a child that exits does not take its parent's buffers away", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(4);
  // Linux copies the mappings at fork() without a word to the driver, and the child's exit closes its copies.
  for (const address of program.addresses) expect(driver.munmap(address)).toBe(0);
  driver.source.show(0x77);
  expect(program.bytes(0).every((byte) => byte === 0x77)).toBe(true);
  // The parent's own munmap is one too many; only the guest's log says so.
  program.off();
  for (const address of program.addresses) expect(driver.munmap(address)).toBe(errno.EINVAL);
  expect(driver.region.mapped.size).toBe(4);
  program.request(0);
  expect(driver.region.mapped.size).toBe(0);
});

test("what the guest has mapped stays after REQBUFS(0) and CLOSE, until it is unmapped", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(2);
  const [first = 0n, second = 0n] = program.addresses;
  program.off();
  program.request(0);
  expect(driver.region.mapped.size).toBe(2);
  program.close();
  expect(driver.munmap(first)).toBe(0);
  expect(driver.region.mapped.size).toBe(1);
  expect(driver.munmap(first)).toBe(errno.EINVAL);
  expect(driver.munmap(second)).toBe(0);
  expect(driver.region.mapped.size).toBe(0);
});

test("nothing is written to a buffer that only the guest still has, and the next one is other memory", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(1);
  driver.source.show(0x11);
  const [old = 0n] = program.addresses;
  const before = driver.region.mapped.get(Number(old));
  program.off();
  program.request(0);
  program.stream(1);
  expect(program.addresses[0]).not.toBe(old);
  expect(driver.region.mapped.get(Number(old))).toBe(before as never);
  expect(program.bytes(0).every((byte) => byte === 0)).toBe(true);
});

test("a guest that never unmaps gets ENOMEM when the quota is used up, and all of it back at a reset", () => {
  using driver = new MediaDriver({ regionBytes: 1 << 22 }); // 4 MiB: six buffers of 640 KiB
  const program = new MediaProgram(driver);
  expect(program.request(32).q.count).toBe(6);
  for (let i = 0; i < 6; i++) program.map(i);
  program.request(0);
  expect(program.request(1).status).toBe(errno.ENOMEM);
  driver.reset();
  driver.start();
  const next = new MediaProgram(driver);
  expect(next.request(6).q.count).toBe(6);
});

test("a host without descriptors costs the guest an ENOMEM, and leaves no part of the buffers behind", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  const create = Fd.memory;
  let left = 2;
  const memory = spyOn(Fd, "memory").mockImplementation((...args) => {
    left -= 1;
    if (left < 0) throw new SysError("memfd_create", "buffer", errno.EMFILE);
    return create.apply(Fd, args);
  });
  const before = openDescriptors();
  try {
    expect(program.request(4).status).toBe(errno.ENOMEM);
  } finally {
    memory.mockRestore();
  }
  expect(openDescriptors()).toBe(before);
  expect(program.request(4).q.count).toBe(4);
});

test("only buffers of the session can be mapped", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  const other = new MediaProgram(driver);
  program.request(2);
  const handle = program.query(1).q["m.offset"];
  expect(statusOf(driver.mmap(other.session, handle))).toBe(errno.EBUSY);
  expect(statusOf(driver.mmap(program.session, handle + 4096))).toBe(errno.EINVAL);
  expect(statusOf(driver.mmap(program.session, 0xffff_0000))).toBe(errno.EINVAL);
  expect(statusOf(driver.mmap(0xdead, handle))).toBe(errno.EINVAL);
  program.request(0);
  expect(statusOf(driver.mmap(program.session, handle))).toBe(errno.EINVAL);
});

test.each([
  ["a place where nothing is", 0x100_0000n],
  ["an address inside a buffer, as a partial munmap sends it", 4096n],
  ["the largest address", 0xffff_ffff_ffff_ffffn],
])("MUNMAP of %s is refused", (_, address) => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.stream(1);
  expect(driver.munmap((program.addresses[0] ?? 0n) + address)).toBe(errno.EINVAL);
  expect(driver.region.mapped.size).toBe(1);
});

test("a million MMAPs of one buffer end with ENOMEM", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(1);
  const handle = program.query(0).q["m.offset"];
  let last = 0;
  for (let i = 0; i < 70_000 && last === 0; i++)
    last = statusOf(driver.mmap(program.session, handle));
  expect(last).toBe(errno.ENOMEM);
  expect(driver.region.maps).toBe(1);
});

test("a monitor that refuses to map costs the guest the MMAP, and the next one is tried again", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(1);
  const handle = program.query(0).q["m.offset"];
  driver.region.mode = "refuse";
  expect(statusOf(driver.mmap(program.session, handle))).toBe(errno.ENOMEM);
  driver.region.mode = "at once";
  expect(statusOf(driver.mmap(program.session, handle))).toBe(0);
});

test("a buffer that is freed while the monitor maps it is not left mapped", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(1);
  driver.region.mode = "late";
  const sent = driver.mmap(program.session, program.query(0).q["m.offset"]);
  program.close();
  driver.region.answerLate();
  expect(statusOf(sent)).toBe(errno.ENOMEM);
  expect(driver.region.mapped.size).toBe(0);
});

test("two MMAPs while the monitor maps are answered with the same place", () => {
  using driver = new MediaDriver();
  const program = new MediaProgram(driver);
  program.request(1);
  driver.region.mode = "late";
  const handle = program.query(0).q["m.offset"];
  const sent = [1, 2].map(() => driver.mmap(program.session, handle));
  expect(sent.map(statusOf)).toEqual([-1, -1]);
  driver.region.answerLate();
  expect(sent.map((one) => one.as(mmapAnswer).driver_addr)).toEqual([0n, 0n]);
  expect(driver.region.maps).toBe(1);
});

test("a thousand programs that are killed while they stream leave no memory and no descriptor", () => {
  using driver = new MediaDriver();
  const before = openDescriptors();
  for (let i = 0; i < 1000; i++) {
    const program = new MediaProgram(driver);
    program.stream(2);
    driver.source.show(i & 0xff);
    // The guest's kernel closes the file before it unmaps.
    program.close();
    for (const address of program.addresses) expect(driver.munmap(address)).toBe(0);
  }
  expect(driver.region.mapped.size).toBe(0);
  expect(openDescriptors()).toBe(before);
  const program = new MediaProgram(driver);
  expect(program.request(32).q.count).toBe(32);
});

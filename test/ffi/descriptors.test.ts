import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { receiveWithDescriptors, SCM_MAX_FD, sendWithDescriptors } from "../../ffi/descriptors.ts";
import { Signal } from "../../ffi/epoll.ts";
import { errno } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { socketPair } from "../../ffi/socket.ts";

const openCount = () => readdirSync("/proc/self/fd").length;
const buffer = (text: string) => {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(1, text.length)));
  new TextEncoder().encodeInto(text, bytes);
  return bytes;
};

test("descriptors arrive with their message, close-on-exec, open on the same files", () => {
  const before = openCount();
  {
    const [a, b] = socketPair();
    using _a = a;
    using _b = b;
    using first = new Signal();
    using second = new Signal();
    const sent = buffer("hello");
    expect(sendWithDescriptors(a, addressOf(sent), 5, [first.fd, second.fd])).toBe(5);
    const got = buffer(".....");
    const fds: Fd[] = [];
    expect(receiveWithDescriptors(b, addressOf(got), 5, fds)).toBe(5);
    expect(new TextDecoder().decode(got)).toBe("hello");
    expect(fds.length).toBe(2);
    const flags = readFileSync(`/proc/self/fdinfo/${fds[0]?.number}`, "utf8");
    expect(Number.parseInt(/flags:\s*(\d+)/.exec(flags)?.[1] ?? "", 8) & 0o2000000).not.toBe(0);
    // An event raised on a sent descriptor shows on the received one: the same open files, in the same order.
    second.raise();
    const counts = fds.map(
      (fd) =>
        /eventfd-count:\s*(\w+)/.exec(readFileSync(`/proc/self/fdinfo/${fd.number}`, "utf8"))?.[1],
    );
    expect(counts).toEqual(["0", "1"]);
    for (const fd of fds) fd[Symbol.dispose]();
  }
  expect(openCount()).toBe(before);
});

test("a message without descriptors, an empty socket and a closed peer are different results", () => {
  const [a, b] = socketPair();
  using _b = b;
  const bytes = buffer("x");
  const fds: Fd[] = [];
  expect(receiveWithDescriptors(b, addressOf(bytes), 1, fds)).toBe(-errno.EAGAIN);
  expect(sendWithDescriptors(a, addressOf(bytes), 1, [])).toBe(1);
  expect(receiveWithDescriptors(b, addressOf(bytes), 1, fds)).toBe(1);
  a[Symbol.dispose]();
  expect(receiveWithDescriptors(b, addressOf(bytes), 1, fds)).toBe(0);
  expect(fds).toEqual([]);
  expect(sendWithDescriptors(b, addressOf(bytes), 1, [])).toBe(-errno.EPIPE);
});

test("as many descriptors as the kernel passes arrive whole; one more is refused here", () => {
  const before = openCount();
  {
    const [a, b] = socketPair();
    using _a = a;
    using _b = b;
    using signal = new Signal();
    const bytes = buffer("x");
    const many = new Array<number>(SCM_MAX_FD).fill(signal.fd);
    expect(sendWithDescriptors(a, addressOf(bytes), 1, many)).toBe(1);
    const fds: Fd[] = [];
    expect(receiveWithDescriptors(b, addressOf(bytes), 1, fds)).toBe(1);
    expect(fds.length).toBe(SCM_MAX_FD);
    for (const fd of fds) fd[Symbol.dispose]();
    expect(() => sendWithDescriptors(a, addressOf(bytes), 1, [...many, signal.fd])).toThrow(
      RangeError,
    );
  }
  expect(openCount()).toBe(before);
});

test("when the descriptor table is full the message is refused and the received descriptors are closed", async () => {
  // A process of its own, because its limit is lowered.
  const script = `
    import { socketPair } from "${import.meta.dir}/../../ffi/socket.ts";
    import { receiveWithDescriptors, sendWithDescriptors } from "${import.meta.dir}/../../ffi/descriptors.ts";
    import { addressOf } from "${import.meta.dir}/../../ffi/libc.ts";
    import { Fd } from "${import.meta.dir}/../../ffi/fd.ts";
    import { readdirSync } from "node:fs";
    const [a, b] = socketPair();
    const bytes = new Uint8Array(new ArrayBuffer(8));
    const sent = sendWithDescriptors(a, addressOf(bytes), 8, [0, 1, 2, 0, 1, 2, 0, 1]);
    const spare = [];
    try { for (;;) spare.push(Fd.duplicate(0, "spare")); } catch {}
    for (let i = 0; i < 3; i++) spare.pop()[Symbol.dispose]();
    const fds = [];
    const got = receiveWithDescriptors(b, addressOf(bytes), 8, fds);
    spare.push(Fd.duplicate(0, "a"), Fd.duplicate(0, "b"), Fd.duplicate(0, "c")); // the three are free again
    console.log(sent, got, fds.length);
  `;
  const run = Bun.spawnSync(
    ["sh", "-c", `ulimit -n 64; exec "$0" -e "$1"`, process.execPath, script],
    { timeout: 8000 },
  );
  expect(run.stderr.toString()).toBe("");
  expect(run.stdout.toString().trim()).toBe(`8 ${-errno.EMSGSIZE} 0`);
});

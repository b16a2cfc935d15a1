// Kick and call descriptors of which a monitor has cleared O_NONBLOCK: no call on them may wait. The calls run in a process
// of their own with a time limit, because a call that waits cannot be ended from inside.
import { expect, test } from "bun:test";

function inProcess(body: string): string {
  const ffi = `${import.meta.dir}/../../ffi`;
  const script = `
    import { libc, addressOf } from "${ffi}/libc.ts";
    import { result } from "${ffi}/errno.ts";
    import { Fd } from "${ffi}/fd.ts";
    import { Notifier, takeNotice } from "${ffi}/notifier.ts";
    import { socketPair } from "${ffi}/socket.ts";
    const blocking = (number) => {
      const fd = new Fd(number, "test");
      fd.setNonBlocking(false);
      return fd;
    };
    const eventfd = (count = 0) => blocking(libc.eventfd(count, 0));
    const [left, right] = socketPair();
    ${body}
  `;
  const run = Bun.spawnSync([process.execPath, "-e", script], { timeout: 8000, stderr: "inherit" });
  return run.exitCode === 0 ? run.stdout.toString().trim() : `ended by ${run.signalCode}`;
}

test("taking a notification from an empty descriptor that is blocking does not wait", () => {
  const out = inProcess(`
    left.setNonBlocking(false);
    console.log(takeNotice(eventfd().number), takeNotice(left.number));
  `);
  expect(out).toBe("true true");
});

test("a notification is taken once, and the end of the other side is seen", () => {
  const out = inProcess(`
    const kicked = eventfd(3);
    const cell = new BigUint64Array(1);
    const first = takeNotice(kicked.number);
    kicked.setNonBlocking(true);
    const rest = result(libc.read(kicked.number, addressOf(cell), 8));
    right[Symbol.dispose]();
    console.log(first, rest, takeNotice(left.number));
  `);
  expect(out).toBe("true -11 false");
});

test("a terminal, for which the kernel has no RWF_NOWAIT, is not waited for either", () => {
  const out = inProcess(`
    const terminal = Fd.open("/dev/ptmx", 2);
    terminal.setNonBlocking(false);
    console.log(takeNotice(terminal.number));
  `);
  expect(out).toBe("true");
});

test("notifying an eventfd that is full and blocking does not wait, and it stays full", () => {
  const out = inProcess(`
    const full = eventfd();
    const cell = new BigUint64Array([0xffff_ffff_ffff_fffen]); // eventfd(2): the maximum
    libc.write(full.number, addressOf(cell), 8);
    const notifier = new Notifier(Fd.duplicate(full.number, "full"));
    full.setNonBlocking(false);
    notifier.notify();
    libc.read(full.number, addressOf(cell), 8);
    notifier.notify();
    const first = cell[0];
    libc.read(full.number, addressOf(cell), 8);
    console.log(first === 0xffff_ffff_ffff_fffen, cell[0]);
  `);
  expect(out).toBe("true 1n");
});

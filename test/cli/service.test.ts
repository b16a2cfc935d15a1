// Reports to a service manager, in this process. test/e2e/service.test.ts has the tools, the lab's scenario systemd a real systemd.
import { expect, test } from "bun:test";
import { existsSync, fstatSync, openSync } from "node:fs";
import { abstractAddress, unixAddress } from "../../ffi/sockaddr.ts";
import { leadsToJournal } from "../../src/cli/journal.ts";
import { ServiceNotifier } from "../../src/cli/service.ts";
import { takeServiceVariables } from "../../src/cli/service-variables.ts";
import { onLoop } from "../support/loop.ts";
import { NotifySocket } from "../support/notify-socket.ts";
import { openDescriptors } from "../support/resources.ts";
import { TempDir } from "../support/tool.ts";

const all = {
  NOTIFY_SOCKET: "/run/notify",
  WATCHDOG_USEC: "2000000",
  WATCHDOG_PID: "7",
  LISTEN_FDS: "1",
  LISTEN_PID: "7",
  LISTEN_FDNAMES: "a:b",
};

test("the variables are read once and removed, so that no child process uses them", () => {
  const env: Record<string, string | undefined> = { ...all, HOME: "/root" };
  expect(takeServiceVariables(env, 7)).toEqual({
    notifySocket: "/run/notify",
    watchdogMs: 2000,
    passed: { count: "1", names: ["a", "b"] },
  });
  expect(env).toEqual({ HOME: "/root" });
  expect(takeServiceVariables(env, 7)).toEqual({});
});

test("watchdog and sockets that are for another process are not used", () => {
  const env: Record<string, string | undefined> = { ...all };
  expect(takeServiceVariables(env, 8)).toEqual({ notifySocket: "/run/notify" });
  expect(env).toEqual({});
});

test.each(["0", "-5", "soon", ""])('a watchdog of "%s" is none', (time) => {
  expect(takeServiceVariables({ WATCHDOG_USEC: time }, 7)).toEqual({});
});

test.each([
  ["a path", (path: string) => unixAddress(path), (path: string) => path],
  ["an abstract name", (path: string) => abstractAddress(path), (path: string) => `@${path}`],
])("%s: ready once, status only when it changes, stopping once", async (_, address, variable) => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using socket = new NotifySocket(address(path));
  await onLoop(async (loop) => {
    using notifier = ServiceNotifier.open(loop, { notifySocket: variable(path) });
    notifier?.stopping(); // it was not ready: nothing to end
    notifier?.status("listening on a\nSTOPPING=1", "");
    notifier?.status("listening on a\nSTOPPING=1", "");
    notifier?.ready();
    notifier?.ready();
    notifier?.status("to b", "b: ");
    notifier?.stopping();
    notifier?.stopping();
  });
  expect(socket.messages()).toEqual([
    "STATUS=listening on a\\x0aSTOPPING=1",
    "READY=1",
    "STATUS=listening on a\\x0aSTOPPING=1; to b",
    "STOPPING=1",
  ]);
});

test("a sign of life comes twice in the time of the watchdog, from the loop", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using socket = new NotifySocket(unixAddress(path));
  await onLoop(async (loop, signal) => {
    using _notifier = ServiceNotifier.open(loop, { notifySocket: path, watchdogMs: 40 });
    const untilMs = performance.now() + 3000;
    while (socket.messages().length < 3 && performance.now() < untilMs) await loop.sleep(5, signal);
  });
  expect(new Set(socket.messages())).toEqual(new Set(["WATCHDOG=1"]));
  expect(socket.messages().length).toBeGreaterThanOrEqual(3);
});

test("a watchdog of a microsecond does not keep the loop busy", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using socket = new NotifySocket(unixAddress(path));
  const fromMs = performance.now();
  await onLoop(async (loop, signal) => {
    using _notifier = ServiceNotifier.open(loop, { notifySocket: path, watchdogMs: 0.001 });
    for (let i = 0; i < 50; i++) {
      await loop.sleep(2, signal);
      socket.messages(); // so that its queue has room
    }
  });
  // A timer that was late is due again at once, so twice as many on a busy machine; without a limit there are many more.
  const most = 2 * ((performance.now() - fromMs) / 10 + 1);
  expect(socket.messages().length).toBeLessThanOrEqual(most);
});

test("READY=1 that finds the queue full is sent again; nothing waits meanwhile", async () => {
  using temp = new TempDir();
  const path = temp.file("notify");
  using socket = new NotifySocket(unixAddress(path));
  await onLoop(async (loop, signal) => {
    using notifier = ServiceNotifier.open(loop, { notifySocket: path });
    for (let i = 0; i < 5000; i++) notifier?.status(`number ${i}`, ""); // more than any queue has room for
    notifier?.ready();
    const before = socket.messages();
    expect(before.length).toBeLessThan(5000);
    expect(before).not.toContain("READY=1");
    const untilMs = performance.now() + 3000;
    while (!socket.messages().includes("READY=1") && performance.now() < untilMs)
      await loop.sleep(5, signal);
  });
  expect(socket.messages().at(-1)).toBe("READY=1");
});

test.each(["/nowhere/notify", "relative", "@", `/${"x".repeat(200)}`, "vsock:2:5000"])(
  "NOTIFY_SOCKET %s is no obstacle",
  async (notifySocket) => {
    const before = openDescriptors();
    await onLoop(async (loop) => {
      using notifier = ServiceNotifier.open(loop, { notifySocket, watchdogMs: 1000 });
      notifier?.ready();
      notifier?.status("a", "");
      notifier?.stopping();
    });
    expect(openDescriptors()).toBe(before);
  },
);

test("stderr leads to the journal only when it is the very file that JOURNAL_STREAM names", () => {
  const fd = openSync("/dev/null", "r"); // ends with the process;
  const { dev, ino } = fstatSync(fd, { bigint: true });
  expect(leadsToJournal(fd, `${dev}:${ino}`)).toBe(true);
  expect(leadsToJournal(fd, `${dev}:${ino + 1n}`)).toBe(false);
  expect(leadsToJournal(fd, undefined)).toBe(false);
  expect(existsSync("/proc/self/fd/999")).toBe(false);
  expect(leadsToJournal(999, `${dev}:${ino}`)).toBe(false);
});

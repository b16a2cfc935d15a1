// What the checks of `framepass doctor` say about machines that are not this one.
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { unknownDevice } from "../../src/devices/report.ts";
import { cameras, checkAnswered, decoders, vsock } from "../../src/doctor/devices.ts";
import { deviceFile, groupName, limited, missing, ok, tried } from "../../src/doctor/finding.ts";
import * as machine from "../../src/doctor/machine.ts";
import { others, programs, qemu, type RunProgram } from "../../src/doctor/monitors.ts";
import { wayFinding } from "../../src/doctor/sharing.ts";
import { UnavailableError } from "../../src/errors.ts";
import { onLoop } from "../support/loop.ts";
import { TempDir } from "../support/tool.ts";

const limits = [
  "Limit                     Soft Limit           Hard Limit           Units",
  "Max open files            64                   4096                 files",
  "Max locked memory         65536                65536                bytes",
].join("\n");
const small = {
  cpuinfo: "model name\t: Common KVM processor\nflags\t\t: fpu sse sse2\n",
  limits,
  glibc: "2.28",
  arch: "x64",
};

test("an old processor, an old C library and low limits are named, with what helps", () => {
  expect(machine.processor(small)).toEqual(
    missing("Common KVM processor has no SSE4.2; QEMU: -cpu host or -cpu max"),
  );
  expect(machine.processor({ ...small, cpuinfo: "flags : sse4_2" }).state).toBe("limited");
  expect(machine.processor({ ...small, cpuinfo: "flags : sse4_2 avx2" })).toEqual(
    ok("x64: sse4_2, avx2"),
  );
  const arm = { ...small, arch: "arm64", cpuinfo: "Features\t: fp asimd crc32\n" };
  expect(machine.processor(arm)).toEqual(ok("arm64: asimd"));
  expect(machine.cLibrary(small).text).toContain("glibc 2.28 is older than 2.31");
  expect(machine.cLibrary({ ...small, glibc: "2.100" })).toEqual(ok("glibc 2.100"));
  expect(machine.cLibrary({ ...small, glibc: undefined })).toEqual(ok("musl"));
  expect(machine.openFiles(small)).toEqual(
    limited("64: ulimit -n 1024, or LimitNOFILE=1024 in a systemd unit"),
  );
  expect(machine.lockedMemory(small).text).toStartWith("65536 bytes: ulimit -l 65536");
  expect(machine.realTime([])).toEqual(ok("SCHED_FIFO and locked memory are permitted"));
  expect(machine.realTime(["this (do that)", "that (do this)"])).toEqual(
    limited("--realtime goes on without this (do that) and without that (do this)"),
  );
  const unlimited = { ...small, limits: limits.replaceAll(/64 |65536/g, "unlimited ") };
  expect(machine.openFiles(unlimited)).toEqual(ok("unlimited"));
});

test("this machine has a processor, a C library and a kernel on which the tests run", () => {
  const here = machine.thisMachine();
  for (const finding of [machine.processor(here), machine.cLibrary(here), machine.kernel()])
    expect(finding.state).not.toBe("missing");
  expect(machine.groups().text).toStartWith(`user ${process.getuid?.()}, groups `);
});

test("a device file that is there but closed names the group to join, or root", () => {
  expect(deviceFile("/dev/null", "")).toEqual(ok("/dev/null"));
  expect(deviceFile("/dev/nonesuch", "modprobe it")).toEqual(
    missing("/dev/nonesuch is not there: modprobe it"),
  );
  const closed = { mode: 0o20660, gid: 987_654, open: false };
  expect(deviceFile("/dev/x", "", closed).text).toBe(
    '/dev/x may not be opened by this user: sudo usermod -aG 987654 "$USER", and log in again',
  );
  for (const file of [
    { ...closed, mode: 0o20600 },
    { ...closed, gid: 0 },
  ])
    expect(deviceFile("/dev/x", "", file).text).toEndWith("by this user: run as root");
});

test("groups have the names of /etc/group", () => {
  using temp = new TempDir();
  writeFileSync(temp.file("group"), "root:x:0:\nvideo:x:44:me\n");
  expect([44, 0, 4].map((gid) => groupName(gid, temp.file("group")))).toEqual([
    "video",
    "root",
    "4",
  ]);
});

test("what cannot be opened is missing with the reason; a defect of ours is no finding", () => {
  const opened = { name: "x", [Symbol.dispose]: () => undefined };
  expect(
    tried(
      () => opened,
      ({ name }) => name,
    ),
  ).toEqual(ok("x"));
  const refuse = (): typeof opened => {
    throw new UnavailableError("no x; install x");
  };
  expect(tried(refuse, () => "")).toEqual(missing("no x; install x"));
  const fail = (): typeof opened => {
    throw new TypeError("defect");
  };
  expect(() => tried(fail, () => "")).toThrow("defect");
});

test("cameras and decoders are listed; nodes that do not answer say why", () => {
  const { problem: _, ...silent } = unknownDevice("/dev/null", "Cam", "");
  const camera = { ...silent, kinds: ["camera" as const] };
  expect(cameras([camera])).toEqual(ok("/dev/null Cam"));
  expect(decoders([camera])).toEqual(missing("no V4L2 decoder"));
  expect(cameras([]).text).toContain("sender -d testsrc needs none");
  expect(cameras([unknownDevice("/dev/null", "", "its driver hangs")])).toEqual(
    missing("/dev/null: its driver hangs"),
  );
  expect(cameras([unknownDevice("/dev/video4711", "", "unplugged")])).toEqual(
    missing("/dev/video4711: unplugged"),
  );
});

test("a way to share that lacks something on one side only says on which", () => {
  const way = { way: "dax" as const, between: "guests", facts: { size: 5 } };
  const found = (send?: string, receive?: string) => wayFinding({ ...way, send, receive });
  expect(found()).toEqual(ok("guests; size 5"));
  expect(found("no device", "no device")).toEqual(limited("no device"));
  expect(found("read only")).toEqual(limited("send: read only; receive: yes"));
});

test("QEMU is asked for the device that vhost-user-video serves", async () => {
  const answers =
    (help: string): RunProgram =>
    async ([, word]) => ({ text: word === "--version" ? "QEMU emulator version 11.1\nC" : help });
  const device = "vhost-user-test-device-pci";
  expect(await qemu(answers(`${device} options:\n`), "x64")).toEqual(
    ok("QEMU emulator version 11.1"),
  );
  expect((await qemu(answers(""), "x64")).text).toContain(`has no ${device}`);
  const without = (reason: "absent" | "fails" | "gives no answer") => async () => ({ reason });
  for (const reason of ["fails", "gives no answer"] as const)
    expect(await qemu(without(reason), "arm64")).toEqual(
      limited(
        `qemu-system-aarch64 --version ${reason}: apt-get install --reinstall qemu-system-arm`,
      ),
    );
  expect(await qemu(without("absent"), "arm64")).toEqual(
    limited("no qemu-system-aarch64 in PATH: apt-get install qemu-system-arm"),
  );
  expect((await others(without("absent"))).text).toStartWith("no crosvm");
});

test("other monitors are listed with what they print, or why they print nothing", async () => {
  const run: RunProgram = async ([name]) =>
    name === "crosvm" ? { text: "crosvm 0.1\n" } : { reason: "gives no answer" };
  expect((await others(run)).text).toBe("crosvm 0.1, cloud-hypervisor --version gives no answer");
});

test("a program that does not end, ignores SIGTERM or leaves its output open is left after the limit", () =>
  onLoop(async (loop, signal) => {
    const run = (script: string) => programs({ loop, signal }, 100)(["sh", "-c", script]);
    const late = { reason: "gives no answer" } as const;
    // The shell ignores the signal, and the program that takes its place does as well.
    expect(await run("trap '' TERM; exec sleep 60")).toEqual(late);
    expect(await run("sleep 5 & echo 1")).toEqual(late);
    expect(await run("exit 3")).toEqual({ reason: "fails" });
    expect(await run("echo 1")).toMatchObject({ text: "1\n" });
    expect(await programs({ loop, signal })(["no-such-program"])).toEqual({ reason: "absent" });
  }));

test("a program that this machine cannot start fails", () =>
  onLoop(async (loop, signal) => {
    using temp = new TempDir();
    const file = temp.file("monitor");
    writeFileSync(file, "\x7fELF of another machine");
    chmodSync(file, 0o755);
    expect(await programs({ loop, signal })([file])).toEqual({ reason: "fails" });
  }));

test("a device whose driver did not answer is not opened again", () => {
  const reports = [unknownDevice("/dev/video4711", "Deaf", "no answer in 30 s: its driver hangs")];
  expect(() => checkAnswered(reports, "/dev/video4711")).toThrow("/dev/video4711");
  checkAnswered(reports, "/dev/video4712");
});

test("vsock is there for a user who may not open its device file", () => {
  using temp = new TempDir();
  const file = temp.file("vsock");
  expect(vsock(file).text).toStartWith(`${file} is not there: modprobe vhost_vsock`);
  writeFileSync(file, "");
  chmodSync(file, 0);
  expect(vsock(file)).toEqual(ok(file));
});

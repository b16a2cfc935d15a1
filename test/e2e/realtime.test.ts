// --realtime: what the kernel says about the threads of a tool, with and without the permission.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { startConnect } from "../../ffi/socket.ts";
import { ensureDebian, projectDir } from "../../scripts/ensure.ts";
import { childrenOf } from "../support/processes.ts";
import { freePort, run, TempDir, Tool, within } from "../support/tool.ts";
import { until } from "../support/until.ts";

ensureDebian([
  { package: "util-linux", provides: "chrt" },
  { package: "util-linux", provides: "setpriv" },
  { package: "util-linux", provides: "prlimit" },
]);
/** A container or a cgroup may forbid it also to root. */
const permitted = Bun.spawnSync(["chrt", "-f", "10", "true"]).exitCode === 0;
const mayChangeUser = process.getuid?.() === 0;

const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
const SCHED_RR = 2;
const SCHED_IDLE = 5;
/** proc_pid_stat(5), counted from the state, which follows the name. */
const fields = { nice: 16, priority: 37, policy: 38 };

/** The fields of a stat file, without the name, which may have spaces. */
function fieldsOf(file: string): string[] {
  const stat = readFileSync(file, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

const niceOf = (pid: number) => Number(fieldsOf(`/proc/${pid}/stat`)[fields.nice]);

/** Policy and real-time priority of each thread of a process; the first is the one that moves frames. */
function threadsOf(pid: number) {
  const tids = readdirSync(`/proc/${pid}/task`).map(Number);
  return tids
    .toSorted((a, b) => a - b)
    .map((tid) => {
      const words = fieldsOf(`/proc/${pid}/task/${tid}/stat`);
      return {
        policy: Number(words[fields.policy]),
        priority: Number(words[fields.priority]),
      };
    });
}

const usual = { policy: SCHED_OTHER, priority: 0 };
const first = { policy: SCHED_FIFO, priority: 10 };

/** KiB of the line `name` in /proc/PID/status. */
const kibOf = (pid: number, name: string) =>
  Number(
    new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1],
  );

function expectRealTime(pid: number): void {
  const [main, ...others] = threadsOf(pid);
  expect(main).toEqual(first);
  expect(others.length).toBeGreaterThan(0); // the compiler's, at least
  expect(others).toEqual(others.map(() => usual));
  expect(kibOf(pid, "VmLck")).toBeGreaterThan(kibOf(pid, "VmRSS"));
}

const program = join(projectDir, "test/support/realtime-program.ts");

test.skipIf(!permitted)(
  "--realtime: the first thread alone has SCHED_FIFO, also beside the worker of --metrics, and memory is locked",
  async () => {
    const words = ["-p", freePort(), "--metrics", freePort(), "--realtime"];
    await using receiver = await Tool.start("receiver", words);
    await receiver.says("listening on");
    expectRealTime(receiver.pid);
    expect(receiver.stderr).not.toContain("--realtime");
    // Pages are locked when they are used: the gigabytes that the runtime reserves cost nothing.
    expect(kibOf(receiver.pid, "VmRSS")).toBeLessThan(200 * 1024);
  },
);

test.skipIf(!permitted)("--realtime reaches the process that serves a front-end", async () => {
  using temp = new TempDir();
  const socket = temp.file("video");
  const words = ["-b", "null", "-s", socket, "--realtime"];
  await using daemon = await Tool.start("vhost-user-video", words);
  await daemon.says("listening on");
  using _connection = startConnect(unixAddress(socket));
  const child = await until("the process of the front-end", 20_000, () =>
    childrenOf(daemon.pid).find((pid) => threadsOf(pid)[0]?.policy === SCHED_FIFO),
  );
  await until("its memory to be locked", 20_000, () => kibOf(child, "VmLck") > 0 || undefined);
  expectRealTime(child);
});

test.skipIf(!permitted)("a program that a tool starts is scheduled as usual", async () => {
  await using parent = Bun.spawn([process.execPath, program], { stdout: "pipe", stderr: "pipe" });
  await within(parent.stdout.getReader().read(), "ready");
  expect(threadsOf(parent.pid)[0]).toEqual(first);
  const [child = 0] = childrenOf(parent.pid);
  expect(threadsOf(child)).toEqual([usual]);
  expect(kibOf(child, "VmLck")).toBe(0);
  parent.kill();
  await parent.exited;
});

test.skipIf(!permitted)(
  "a thread that runs without a pause loses the policy, with one warning, before it keeps others from the processor for long",
  async () => {
    const child = Bun.spawn([process.execPath, program, "spin"], {
      stdout: "ignore",
      stderr: "pipe",
    });
    const [status, stderr] = await within(
      Promise.all([child.exited, new Response(child.stderr).text()]),
      "the program to lose the policy",
    );
    expect({ status, lines: stderr.trim().split("\n") }).toEqual({
      status: 0,
      lines: [
        "framepass: warn: --realtime: going on without real-time scheduling: 0.2 s without a pause, and other programs need the processor",
      ],
    });
  },
);

const otherUser = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
/** Runs a program as a user without capabilities, and with limits that permit neither. */
const unprivileged = ["prlimit", "--rtprio=0", "--memlock=65536", ...otherUser];

test.skipIf(!mayChangeUser)(
  "without permission --realtime is one warning that says what to do, and the tool works",
  async () => {
    using temp = new TempDir();
    Bun.spawnSync(["chmod", "777", temp.path]);
    const under = unprivileged;
    const words = ["-l", `unix:${temp.file("s")}`, "--realtime"];
    await using receiver = await Tool.start("receiver", words, { under });
    await receiver.says("listening on");
    expect(receiver.stderr.split("\n").filter((line) => line.includes("--realtime"))).toEqual([
      "receiver: warn: --realtime: going on without real-time scheduling (sched_setattr SCHED_FIFO: EPERM (operation not permitted); ulimit -r 10, or LimitRTPRIO=10 and RestrictRealtime=no in a systemd unit) and without locked memory (65536 bytes are permitted; ulimit -l unlimited, or LimitMEMLOCK=infinity in a systemd unit)",
    ]);
    expect(threadsOf(receiver.pid)[0]).toEqual(usual);
  },
);

test.skipIf(!mayChangeUser)(
  "without permission a daemon warns once, and the processes of its front-ends do not warn again",
  async () => {
    using temp = new TempDir();
    Bun.spawnSync(["chmod", "777", temp.path]);
    const under = unprivileged;
    const socket = temp.file("video");
    const words = ["-b", "null", "-s", socket, "--realtime"];
    await using daemon = await Tool.start("vhost-user-video", words, { under });
    await daemon.says("listening on");
    for (const times of [1, 2]) {
      const connection = startConnect(unixAddress(socket));
      await daemon.says("a front-end has connected", times); // its process says that, and would have warned before
      connection[Symbol.dispose]();
      await daemon.says("the front-end has left", times);
    }
    expect(daemon.stderr.split("going on without real-time").length - 1).toBe(1);
  },
);

test.skipIf(!permitted || !mayChangeUser)(
  "CAP_SYS_NICE and CAP_IPC_LOCK are enough, whatever the limits are",
  async () => {
    using temp = new TempDir();
    Bun.spawnSync(["chmod", "777", temp.path]);
    const under = [
      ...unprivileged,
      ...["--inh-caps=+sys_nice,+ipc_lock", "--ambient-caps=+sys_nice,+ipc_lock"],
    ];
    const words = ["-l", `unix:${temp.file("s")}`, "--realtime"];
    await using receiver = await Tool.start("receiver", words, { under });
    await receiver.says("listening on");
    expect(receiver.stderr).not.toContain("--realtime");
    expectRealTime(receiver.pid);
  },
);

const enough = ["prlimit", "--rtprio=10", "--memlock=unlimited"];
/** Not in a container without CAP_SYS_RESOURCE. */
const mayRaise = Bun.spawnSync([...enough, "true"]).exitCode === 0;

test.skipIf(!permitted || !mayChangeUser || !mayRaise)(
  "the limits that the warning names are enough for a user without capabilities",
  async () => {
    using temp = new TempDir();
    Bun.spawnSync(["chmod", "777", temp.path]);
    const under = [...enough, ...otherUser];
    const words = ["-l", `unix:${temp.file("s")}`, "--realtime"];
    await using receiver = await Tool.start("receiver", words, { under });
    await receiver.says("listening on");
    expect(receiver.stderr).not.toContain("--realtime");
    expectRealTime(receiver.pid);
  },
);

/** The slice of a process's first thread in ns, of a kernel that shows it. */
const sliceOf = (pid: number) =>
  Number(/^se\.slice\s*:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/sched`, "utf8"))?.[1]);

/** Kernels before 6.12 ignore the slice. */
const hasSlices =
  release().localeCompare("6.12", "en", { numeric: true }) >= 0 && sliceOf(process.pid) > 0;

test.skipIf(!hasSlices)(
  "without --realtime the first thread has short time slices, so that it runs soon after it wakes",
  async () => {
    await using receiver = await Tool.start("receiver", ["-p", freePort()]);
    await receiver.says("listening on");
    expect(threadsOf(receiver.pid)[0]).toEqual(usual);
    expect(sliceOf(receiver.pid)).toBe(100_000);
  },
);

test.skipIf(!hasSlices)(
  "frames that come as fast as they are taken get the usual slices, and the next stream at the rate of a camera short ones again",
  async () => {
    using temp = new TempDir();
    const place = `unix:${temp.file("s")}`;
    await using receiver = await Tool.start("receiver", ["-l", place, "--keep"]);
    await receiver.says("listening on");
    const send = (fps: string) =>
      Tool.start("sender", ["-a", place, "-d", "testsrc", "-W", "64", "-H", "48", "-r", fps]);
    const other = Bun.spawn(["sleep", "60"]); // this process may have run a tool's code, which takes short ones
    const usualSlice = sliceOf(other.pid);
    other.kill();
    for (const [fps, slice] of [
      ["0", usualSlice],
      ["60", 100_000],
    ] as const) {
      await using sender = await send(fps);
      await sender.says("connected to");
      for (const { pid } of [sender, receiver])
        await until(`slices of ${slice} ns with -r ${fps}`, 20_000, () =>
          sliceOf(pid) === slice ? true : undefined,
        );
      // After the frames at which the pace was judged, too.
      await Bun.sleep(1500);
      expect([sliceOf(sender.pid), sliceOf(receiver.pid)]).toEqual([slice, slice]);
    }
  },
);

test.skipIf(!permitted)(
  "--realtime: both sides of frames that come as fast as they are taken leave the processors to others, and have SCHED_FIFO again at the rate of a camera",
  async () => {
    using temp = new TempDir();
    const place = `unix:${temp.file("s")}`;
    await using receiver = await Tool.start("receiver", ["-l", place, "--keep", "--realtime"]);
    await receiver.says("listening on");
    for (const [fps, wanted] of [
      ["0", usual],
      ["60", first],
    ] as const) {
      const size = ["-W", "64", "-H", "48", "-r", fps];
      const words = ["-a", place, "-d", "testsrc", ...size, "--realtime"];
      await using sender = await Tool.start("sender", words);
      await sender.says("connected to");
      for (const { pid } of [sender, receiver])
        await until(`the policy ${wanted.policy} with -r ${fps}`, 20_000, () =>
          threadsOf(pid)[0]?.policy === wanted.policy ? true : undefined,
        );
      await Bun.sleep(1500); // after the frames at which the pace was judged, too
      for (const { pid } of [sender, receiver]) expect(threadsOf(pid)[0]).toEqual(wanted);
    }
  },
);

test.skipIf(!permitted)("a nice value and a policy that a tool is started with stay", async () => {
  for (const [under, words, wanted] of [
    [["nice", "-n", "7"], [], { ...usual, nice: 7 }],
    [["chrt", "--idle", "0"], [], { policy: SCHED_IDLE, priority: 0, nice: 0 }],
    [["chrt", "--fifo", "20"], [], { policy: SCHED_FIFO, priority: 20, nice: 0 }],
    [["chrt", "--rr", "20"], ["--realtime"], { policy: SCHED_RR, priority: 20, nice: 0 }],
    [["nice", "-n", "7"], ["--realtime"], { ...first, nice: 7 }],
  ] as const) {
    await using receiver = await Tool.start("receiver", ["-p", freePort(), ...words], {
      under: [...under],
    });
    await receiver.says("listening on");
    const got = { ...threadsOf(receiver.pid)[0], nice: niceOf(receiver.pid) };
    expect({ under, words, ...got }).toEqual({ under, words, ...wanted });
  }
});

test("a tool that moves no frames does not know --realtime", async () => {
  const { status, lines } = await run("framepass", ["devices", "--realtime"]);
  expect({ status, count: lines.length }).toEqual({ status: 2, count: 1 });
  expect(lines[0]).toContain('unknown option "--realtime"');
});

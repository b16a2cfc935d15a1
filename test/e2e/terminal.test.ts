// Terminals and pipes around the executables: closed, stopped, never read, narrow, without escape sequences.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fd, O_NONBLOCK, O_RDONLY, O_RDWR, readAt } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { socketPair } from "../../ffi/socket.ts";
import {
  dist,
  freePort,
  listening,
  records,
  run,
  TempDir,
  Tool,
  toLoopback,
} from "../support/tool.ts";

const small = ["-W", "64", "-H", "48", "-f", "YU12"];

test("SIGHUP, a closed terminal, ends a receiver as SIGTERM does: summary, rate in the file, no socket", async () => {
  using temp = new TempDir();
  const [socket, file] = [temp.file("s"), temp.file("o.y4m")];
  await using tool = await Tool.start("receiver", ["-l", `unix:${socket}`, "-o", file]);
  await tool.says("listening on");
  const words = ["-d", "testsrc", ...small, "-r", "10", "-a", `unix:${socket}`];
  await using _sender = await Tool.start("sender", words);
  await tool.says("sends 64x48");
  await Bun.sleep(1200);
  tool.signal("SIGHUP");
  const { status, stderr } = await tool.ended();
  expect(status).toBe(130);
  const [, fps] = /stopped: \d+ frames, .* \(([\d.]+) fps\)/.exec(stderr) ?? [];
  expect(existsSync(socket)).toBe(false);
  const [, rate] = / F0*(\d+):1000 /.exec(readFileSync(file, "latin1").slice(0, 80)) ?? [];
  expect(Number(rate) / 1000 / Number(fps)).toBeWithin(0.8, 1.2); // about 10 on a machine with time
  expect(Number(rate)).toBeLessThan(20_000); // 30 is what the file has at the start
});

test("a tool that nohup has started goes on after SIGHUP", async () => {
  const under = ["sh", "-c", `trap "" HUP; exec "$0" "$@"`]; // what nohup does
  await using tool = await Tool.start("receiver", ["-p", freePort()], { under });
  await tool.says("listening on");
  tool.signal("SIGHUP");
  await Bun.sleep(200);
  tool.signal("SIGTERM");
  const { status, stderr } = await tool.ended();
  expect({ status, stopped: stderr.split("stopped").length - 1 }).toEqual({
    status: 130,
    stopped: 1,
  });
});

test("records whose reader leaves, as head does, end the receiver cleanly: socket gone, rate in the file, summary", async () => {
  using temp = new TempDir();
  const [socket, file] = [temp.file("s"), temp.file("o.y4m")];
  const words = ["-l", `unix:${socket}`, "-o", file, "--json", "--stats", "0.2"];
  const under = ["bash", "-o", "pipefail", "-c", '"$0" "$@" | head -3'];
  await using tool = await Tool.start("receiver", words, { under });
  await tool.says("listening on");
  const to = ["-d", "testsrc", ...small, "-r", "20", "-a", `unix:${socket}`];
  await using _sender = await Tool.start("sender", to);
  const { status, stderr } = await tool.ended();
  expect(status).toBe(0);
  expect(stderr).toMatch(/receiver: done: \d+ frames/);
  expect(stderr.trim().split("\n").at(-1)).toBe(
    "receiver: stdout: the program that read it has ended",
  );
  expect(existsSync(socket)).toBe(false);
  expect(readFileSync(file, "latin1").slice(0, 80)).not.toContain("F00030000:1000");
});

test("a receiver that is stopped when its records have no reader any more says one summary", async () => {
  using temp = new TempDir();
  const words = ["-l", `unix:${temp.file("s")}`, "--json"];
  const script = `exec 3> >(head -1 >/dev/null; touch ${temp.file("left")})
    "$0" "$@" >&3 & pid=$!
    exec 3>&-
    until [ -e ${temp.file("left")} ]; do sleep 0.05; done
    kill -TERM $pid
    wait $pid`;
  const { stderr } = await run("receiver", words, { under: ["bash", "-c", script] });
  expect(stderr.match(/ 0 frames, /g)).toHaveLength(1);
  expect(stderr).toContain("receiver: stopped: 0 frames, ");
});

test("a sender whose records lose their reader ends, also with --reconnect", async () => {
  await using receiver = await listening(["--keep"]);
  const under = ["bash", "-o", "pipefail", "-c", '"$0" "$@" | head -1'];
  const words = [...toLoopback(receiver.port), "--reconnect", "--json", "--stats", "0.1"];
  const { status, stderr } = await run("sender", words, { under });
  expect(status).toBe(0);
  expect(stderr).not.toContain("trying again");
  expect(stderr).toContain("stdout: the program that read it has ended");
});

test("stderr that nothing reads loses lines, counted, and no frames", async () => {
  using temp = new TempDir();
  Bun.spawnSync(["mkfifo", temp.file("log")]);
  using held = Fd.open(temp.file("log"), O_RDWR | O_NONBLOCK);
  // The reader is stuck: the FIFO is open and full.
  Bun.spawnSync(["sh", "-c", `dd if=/dev/zero of='${temp.file("log")}' bs=4096 oflag=nonblock`], {
    stderr: "ignore",
  });
  const port = freePort();
  const under = ["sh", "-c", `exec "$0" "$@" 2> '${temp.file("log")}'`];
  const words = ["-l", "127.0.0.1", "-p", port, "--json", "--stats", "0.1", "--log-level", "debug"];
  await using receiver = await Tool.start("receiver", words, { under });
  const sender = [...toLoopback(port), ...small, "-r", "100", "-n", "150", "--reconnect", "--json"];
  const sent = await run("sender", sender);
  expect(sent.status).toBe(0);
  const { drops } = records(sent.stdout).at(-1) ?? {}; // of a busy machine
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  const last = records(stdout).at(-1);
  expect(last).toMatchObject({ record: "stopped", frames: 150 });
  expect(Number(last?.drops)).toBeLessThanOrEqual(Number(drops)); // the sender also counts those before and after
  expect(held.closed).toBe(false);
});

/** A program that writes `lines` numbered lines through the log, and gives its reader `pauseMs` before the last one. */
const talker = (lines: number, pauseMs: number) => `
  import { log, setUpLog } from "${join(import.meta.dir, "../../src/cli/log.ts")}";
  import { flushStderr } from "${join(import.meta.dir, "../../src/cli/terminal.ts")}";
  setUpLog("talker", "info");
  const fromMs = performance.now();
  for (let i = 0; i < ${lines}; i++) log.info("line " + i + " " + "x".repeat(80));
  console.log(performance.now() - fromMs);
  await Bun.sleep(${pauseMs});
  log.info("last");
  flushStderr();
`;

test("lines for a slow reader wait, those without room are counted in a line, and order is kept", async () => {
  using temp = new TempDir();
  await Bun.write(temp.file("talker.ts"), talker(4000, 600));
  Bun.spawnSync(["mkfifo", temp.file("log")]);
  using reader = Fd.open(temp.file("log"), O_RDONLY | O_NONBLOCK);
  const words = ["sh", "-c", `exec "$0" "$@" 2> '${temp.file("log")}'`];
  const child = Bun.spawn([...words, process.execPath, temp.file("talker.ts")], {
    stdin: "ignore",
    stdout: "pipe",
  });
  const out = child.stdout.getReader();
  const { value } = await out.read();
  expect(Number(new TextDecoder().decode(value))).toBeLessThan(2000); // never waited
  let text = "";
  const bytes = new Uint8Array(new ArrayBuffer(1 << 16));
  const drain = () => {
    for (let r = 1; r > 0; ) {
      r = readAt(reader.number, addressOf(bytes), bytes.length);
      if (r > 0) text += new TextDecoder().decode(bytes.subarray(0, r));
    }
  };
  while (child.exitCode === null) {
    drain();
    await Bun.sleep(20);
  }
  drain();
  const lines = text.trim().split("\n");
  const numbers = lines
    .flatMap((line) => /^talker: line (\d+) x+$/.exec(line)?.[1] ?? [])
    .map(Number);
  expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  expect(numbers.length).toBeGreaterThan(1000);
  const hidden = lines.flatMap(
    (line) => /^talker: (\d+) lines? (?:was|were) not shown$/.exec(line)?.[1] ?? [],
  );
  expect(hidden.map(Number)).toEqual([4000 - numbers.length]);
  expect(lines.at(-1)).toBe("talker: last");
});

/** Runs a receiver and a sender on a pseudo-terminal of that size; answers all that was written to it. */
async function onTerminal(columns: number, term: string, more: string[] = []): Promise<string> {
  using temp = new TempDir();
  const port = freePort();
  const command = `stty cols ${columns} rows 24; TERM=${term} exec ${dist}/receiver -p ${port} -n 30 --stats 0.1`;
  const terminal = Bun.spawn(["script", "-qec", [command, ...more].join(" "), temp.file("log")], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const sent = await run("sender", [...toLoopback(port), "-r", "30", "-n", "30", "--reconnect"]);
  expect(sent.status).toBe(0);
  await terminal.exited;
  return readFileSync(temp.file("log"), "utf8");
}

const noScript = Bun.which("script") === null;
const ESC = String.fromCharCode(27);

test.skipIf(noScript)("a terminal without escape sequences, TERM=dumb, gets none", async () => {
  const text = await onTerminal(80, "dumb");
  expect(text).not.toContain(ESC);
  expect(text).toMatch(/receiver: \d+ frames, [\d.]+ fps/);
});

test.skipIf(noScript).each([40, 80])("at %i columns no number is cut", async (columns) => {
  const text = await onTerminal(columns, "xterm");
  const drawn = text.split(`\r${ESC}[J`).filter((line) => line.startsWith("["));
  expect(drawn.length).toBeGreaterThan(3);
  for (const line of drawn) {
    const [shown = ""] = line.split("\r");
    expect(shown.length).toBeLessThan(columns);
    expect(shown).toMatch(
      /^\[#*\.*\] \d+\/30 \d+ %(, \d+ s left)?(, \d+\.\d fps)?(, \d+\.\d MB\/s)?(, \d+ dropped)?(, \d+ damaged)?(, latency p50 \d+\.\d\d ms p99 \d+\.\d\d ms)?$/,
    );
    // The cursor is at the start, so that a narrowed terminal wraps downwards, where the next redraw clears.
    expect(line.slice(shown.length, shown.length + 1)).toBe("\r");
  }
});

test("a tool whose stderr is closed, a socket that nothing reads, or full, runs as before", async () => {
  using temp = new TempDir();
  const [ours, theirs] = socketPair();
  theirs.setNonBlocking(false);
  for (const redirect of ["2>&-", "2>/dev/full", "2>&1"]) {
    const port = freePort();
    const under = ["sh", "-c", `exec "$0" "$@" ${redirect} >'${temp.file("records")}'`];
    const words = ["-l", "127.0.0.1", "-p", port, "--json", "--stats", "0.01"];
    const options = { under, stdout: theirs.number };
    await using receiver = await Tool.start(
      "receiver",
      [...words, "--log-level", "debug"],
      options,
    );
    const to = [...toLoopback(port), ...small, "-r", "100", "-n", "50", "--reconnect"];
    expect({ redirect, status: (await run("sender", to)).status }).toEqual({ redirect, status: 0 });
    expect((await receiver.ended()).status).toBe(0);
    const last = records(readFileSync(temp.file("records"), "utf8")).at(-1);
    expect({ redirect, ...last }).toMatchObject({ redirect, frames: 50 });
  }
  ours[Symbol.dispose]();
  theirs[Symbol.dispose]();
});

test("the seconds and the rate of a receiver are those of the stream, not of its waiting", async () => {
  await using receiver = await listening(["--json", "--stats", "0", "--keep"]);
  await Bun.sleep(1500);
  const to = [...toLoopback(receiver.port), ...small, "-r", "50", "-n", "25", "--json"];
  let sending = 0;
  for (let times = 0; times < 2; times++) {
    const sent = await run("sender", to);
    expect(sent.status).toBe(0);
    sending += Number(records(sent.stdout).at(-1)?.seconds); // half a second on a machine with time
    await receiver.says("has gone", times + 1);
    await Bun.sleep(700);
  }
  receiver.signal("SIGTERM");
  const { seconds, fps, frames } = records((await receiver.ended()).stdout).at(-1) ?? {};
  expect(frames).toBe(50);
  expect(Number(seconds)).toBeWithin(sending - 0.2, sending + 0.6); // it waited for 2.9 s
  expect(Number(fps) * Number(seconds)).toBeWithin(45, 55);
});

// The command line of the built executables: every option's row, help, version, names, environment.
import { expect, test } from "bun:test";
import { copyFileSync, existsSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { receiver } from "../../cmd/receiver.ts";
import { sender } from "../../cmd/sender.ts";
import { tools } from "../../cmd/tools.ts";
import { version } from "../../package.json";
import { projectDir } from "../../scripts/ensure.ts";
import type { Options } from "../../src/cli/options.ts";
import { exitCodes } from "../../src/errors.ts";
import { built, dist, freePort, run, TempDir, Tool } from "../support/tool.ts";

const rows: { name: string; options: Options; enough: string[] }[] = [
  { name: "sender", options: sender.options, enough: ["-a", "127.0.0.1", "-p", "9"] },
  { name: "receiver", options: receiver.options, enough: ["-p", "9"] },
];

/** Runs a tool once for each of `lines`, some at a time; each must be refused with one line that has its text. */
async function refused(name: string, lines: readonly { words: string[]; text: string }[]) {
  const left = [...lines];
  const worker = async () => {
    for (let line = left.pop(); line !== undefined; line = left.pop()) {
      const { status, lines: said, stdout } = await run(name, line.words);
      const outcome = { words: line.words, status, said: said.length, stdout };
      expect(outcome).toEqual({ words: line.words, status: 2, said: 1, stdout: "" });
      expect(said[0]).toStartWith(`${name}: error: `);
      expect(said[0]).toContain(line.text);
      expect(said[0]).not.toContain("?;"); // one sentence, whatever is suggested in it
    }
  };
  await Promise.all([worker(), worker(), worker()]);
}

test.each(rows)(
  "$name refuses each number outside its range, with range and value",
  async (row) => {
    const lines = Object.entries(row.options).flatMap(([name, option]) => {
      if (option.type !== "integer" && option.type !== "number") return [];
      const { min, max } = option;
      const malformed = name === "frames" ? ["1x", "0x10", "1.5", "1e3"] : [];
      return [String(min - 1), String(max + 1), ...malformed].map((value) => ({
        words: [...row.enough, `--${name}`, value],
        text: `--${name} must be ${min} to ${max}, got "${value}"`,
      }));
    });
    expect(lines.length).toBeGreaterThan(7);
    await refused(row.name, lines);
  },
);

test.each(rows)(
  "$name refuses options without a value, unknown ones and surplus words",
  async (row) => {
    const valued = Object.entries(row.options).filter(([, option]) => option.type !== "flag");
    const missing = valued.map(([name, { short }]) => ({
      words: [...row.enough, short === undefined ? `--${name}` : `-${short}`],
      text: `--${name} needs a value`,
    }));
    await refused(row.name, [
      ...missing,
      { words: ["--port", "--json"], text: "--port needs a value" },
      { words: ["--port", ""], text: "--port needs a value" },
      { words: ["--port="], text: "--port needs a value" },
      { words: [...row.enough, "--nonsense"], text: 'unknown option "--nonsense"' },
      { words: [...row.enough, "-Z"], text: 'unknown option "-Z"' },
      { words: [...row.enough, "--__proto__"], text: 'unknown option "--__proto__"' },
      { words: [...row.enough, "surplus"], text: 'unexpected word "surplus"' },
      { words: [...row.enough, "--", "surplus"], text: 'unexpected word "surplus"' },
      { words: [...row.enough, "--json=yes"], text: "--json takes no value" },
      { words: [], text: "is required" },
    ]);
  },
);

test("values that no row can judge are refused with what is wanted", async () => {
  const to = ["-a", "127.0.0.1", "-p", "9"];
  await refused("sender", [
    { words: [...to, "-m", "userptr"], text: "--memory must be auto, dmabuf, mmap" },
    { words: [...to, "-f", "YUYVX"], text: "--format must be 1 to 4 characters" },
    { words: [...to, "-f", "yuyv422"], text: "; you probably meant YUYV" },
    { words: [...to, "-f", "I420"], text: '--format: there is no "I420"; you probably meant YU12' },
    { words: [...to, "--recconect"], text: "; you probably meant --reconnect" },
    { words: [...to, "-d", "testsrc:snow"], text: "patterns bars, gradient" },
    { words: [...to, "-d", "testsrc", "-f", "MJPG"], text: "--format MJPG" },
    {
      words: [...to, "-d", "testsrc", "-f", "NV13"],
      text: "--format NV13; you probably meant NV12",
    },
    { words: ["-p", "9", "-a", "two words"], text: "--address must be" },
    { words: ["-p", "9", "-a", "vsock:near"], text: "vsock:CID" },
    { words: ["-a", `unix:/${"x".repeat(120)}`], text: "1 to 107 bytes" },
    { words: ["-a", "127.0.0.1"], text: "--port is required" },
  ]);
  await refused("receiver", [
    { words: ["-p", "9", "--camera-format", "yuyv"], text: "you probably meant YUYV" },
    { words: ["-p", "9", "--camera-format", "NV13"], text: 'got "NV13"; you probably meant NV12' },
    { words: ["-p", "9", "--allow", "everybody"], text: "--allow must be an IP address" },
    { words: ["-p", "9", "--allow", "10.0.0.0/33"], text: '"10.0.0.0/33"' },
    { words: ["-l", "unix:/tmp/x", "--allow", "10.0.0.0/8"], text: "--allow is for IP addresses" },
    { words: ["-p", "9", "--json", "-o", "-"], text: "both want stdout" },
  ]);
});

test.each(rows)("$name --help lists every option and exit status, on stdout", async (row) => {
  const { status, stdout, stderr } = await run(row.name, ["--nonsense", "--help"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  for (const [name, { short, help }] of Object.entries(row.options)) {
    expect(stdout).toContain(short === undefined ? ` --${name}` : `-${short}, --${name}`);
    expect(stdout.replace(/\s+/g, " ")).toContain(help);
  }
  for (const { status: code, meaning } of Object.values(exitCodes))
    expect(stdout).toMatch(new RegExp(`^  ${code} +${meaning}$`, "m"));
  expect(stdout).not.toMatch(/ \n/);
});

test("help and version that cannot be printed are one line and exit status 1", async () => {
  const shell = ["sh", "-c", 'exec "$0" "$@" > /dev/full'];
  for (const word of ["--help", "--version"]) {
    const { status, lines } = await run("sender", [word], { under: shell });
    expect(status).toBe(1);
    expect(lines).toEqual(["sender: error: write stdout: ENOSPC (no space left on device)"]);
    const all = await run("framepass", [word], { under: shell });
    expect(all.status).toBe(1);
    expect(all.lines).toEqual(["framepass: error: write stdout: ENOSPC (no space left on device)"]);
  }
});

test("--version says version, commit and target, whatever the tool is called", async () => {
  const head = Bun.spawnSync(["git", "rev-parse", "--short=12", "HEAD"], { cwd: projectDir });
  const commit = head.exitCode === 0 ? "[0-9a-f]{12}(-changed)?" : "no commit";
  const line = new RegExp(`^framepass ${version.replaceAll(".", "\\.")} \\(${commit}\\) linux-`);
  const linked = tools.filter(({ unlinked }) => unlinked !== true);
  for (const name of ["framepass", ...linked.map((tool) => tool.name)]) {
    const { status, stdout } = await run(name, ["--version"]);
    expect(status).toBe(0);
    expect(stdout).toMatch(line);
    expect(stdout.trim()).toEndWith(`linux-${process.arch}`);
  }
});

test("a tool is chosen by subcommand, by the name of a link, or not at all", async () => {
  await built();
  using temp = new TempDir();
  symlinkSync(join(dist, "framepass"), temp.file("receiver"));
  const byLink = await run("", ["--help"], { path: temp.file("receiver") });
  expect(byLink.stdout).toStartWith(receiver.summary);
  const byWord = await run("framepass", ["sender", "--help"]);
  expect(byWord.stdout).toStartWith(sender.summary);
  const all = await run("framepass", ["--help"]);
  const flat = all.stdout.replace(/\s+/g, " ");
  for (const { name, summary } of tools) expect(flat).toContain(` ${name} ${summary} `);
  expect(all.stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  await refused("framepass", [
    { words: [], text: "no tool was named" },
    { words: ["camera"], text: 'there is no tool "camera"; choose one of sender' },
    {
      words: ["recever", "-p", "5"],
      text: 'there is no tool "recever"; you probably meant receiver',
    },
    {
      words: ["a\u001b[31m\nb"],
      text: 'there is no tool "a\\x1b[31m\\x0ab"; choose one of sender',
    },
    { words: ["help", "sende"], text: 'there is no tool "sende"; you probably meant sender' },
  ]);
});

test("an option of a tool's relatives is refused with their names", async () => {
  const { port, to } = { port: ["-p", "9"], to: ["-a", "127.0.0.1"] };
  await refused("sender", [
    { words: [...port, ...to, "--share", "fd"], text: "; sender_zc has it;" },
  ]);
  await refused("receiver", [
    { words: [...port, "--hud"], text: "; receiver_sdl and receiver_zc_sdl have it;" },
    { words: [...port, "-R", "/dev/dax0.0"], text: "; receiver_zc and receiver_zc_sdl have it;" },
    { words: [...port, "--reconnect"], text: 'unknown option "--reconnect"; see receiver' },
  ]);
});

test("framepass help and version are words, letters and options", async () => {
  const { stdout: usage } = await run("framepass", ["--help"]);
  for (const word of ["help", "-h"]) expect((await run("framepass", [word])).stdout).toBe(usage);
  expect((await run("framepass", ["help", "--help"])).stdout).toBe(usage);
  const { stdout: line } = await run("framepass", ["--version"]);
  for (const word of ["version", "-V"]) expect((await run("framepass", [word])).stdout).toBe(line);
  const help = await run("framepass", ["help", "receiver-sdl"]);
  expect(help.stdout).toBe((await run("framepass", ["receiver_sdl", "-h"])).stdout);
  expect(help.stdout).toContain("\n  framepass receiver_sdl -p 5000 --hud\n");
  const linked = await run("sender", ["-h"]);
  expect(linked.stdout).toContain("Usage: sender [OPTIONS] --address ADDRESS\n");
  expect((await run("sender", ["-V"])).stdout).toBe(line);
  expect((await run("sender", ["-hV"])).stdout).toBe(linked.stdout);
  expect((await run("sender", ["-p", "5000", "-Vh"])).stdout).toBe(line);
  const { lines } = await run("framepass", ["sender"]);
  expect(lines[0]).toEndWith("; see framepass sender --help");
});

test("a .env, a bunfig.toml with a preload and a package.json around change nothing", async () => {
  using temp = new TempDir();
  writeFileSync(temp.file(".env"), "BUN_CONFIG_VERBOSE_FETCH=1\nNODE_OPTIONS=--nonsense\n");
  writeFileSync(temp.file("bunfig.toml"), 'preload = ["./spy.ts"]\n');
  const spy = `require("node:fs").writeFileSync(${JSON.stringify(temp.file("spied"))}, "")`;
  writeFileSync(temp.file("spy.ts"), spy);
  writeFileSync(temp.file("tsconfig.json"), "{ nonsense");
  writeFileSync(temp.file("package.json"), "{ nonsense");
  const { status, stdout, stderr } = await run("sender", ["--version"], { cwd: temp.path });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toStartWith("framepass ");
  expect(existsSync(temp.file("spied"))).toBe(false);
});

test("one tool built alone is an executable of its own that does the same, also with another name", async () => {
  using temp = new TempDir();
  // In a copy of the project, because other tests use dist.
  const copy = Bun.spawnSync(
    ["cp", "-r", "cmd", "src", "ffi", "scripts", "package.json", "bun.lock", temp.path],
    { cwd: projectDir },
  );
  expect(copy.exitCode).toBe(0);
  symlinkSync(join(projectDir, "node_modules"), temp.file("node_modules"));
  const buildOf = (name: string) => {
    const command = [process.execPath, "run", "build", name];
    return Bun.spawnSync(command, { cwd: temp.path, timeout: 60_000 });
  };
  const build = buildOf("sender");
  expect(build.stderr.toString() + build.stdout.toString()).toContain("dist/sender");
  // Named like another tool, which it must not become.
  for (const name of ["camera", "receiver"]) {
    copyFileSync(temp.file("dist/sender"), temp.file(name));
    const help = await run("", ["-h"], { path: temp.file(name) });
    expect(help.stdout).toStartWith(sender.summary);
    expect(help.stdout).toContain(`Usage: ${name} [OPTIONS]`);
    expect((await run("", ["-V"], { path: temp.file(name) })).stdout).toStartWith("framepass ");
    const wrong = await run("", [], { path: temp.file(name) });
    expect({ status: wrong.status, lines: wrong.lines.length }).toEqual({ status: 2, lines: 1 });
    expect(wrong.lines[0]).toEndWith(`; see ${name} --help`);
  }
  // devices starts its own executable again, one process for each node.
  expect(buildOf("devices").exitCode).toBe(0);
  renameSync(temp.file("dist/devices"), temp.file("framepass"));
  const listed = await run("", ["--json"], { path: temp.file("framepass") });
  const same = await run("framepass", ["devices", "--json"]);
  expect({ status: listed.status, stdout: listed.stdout }).toEqual({
    status: same.status,
    stdout: same.stdout,
  });
  for (const name of ["camera", "install", "doctor"]) expect(buildOf(name).exitCode).toBe(2);
}, 60_000);

test("--log-level decides how much is said, errors always", async () => {
  const to = ["-a", "127.0.0.1", "-p", freePort(), "-d", "testsrc"];
  await using quiet = await Tool.start("sender", [...to, "--log-level", "error"]);
  const { lines } = await quiet.ended();
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("ECONNREFUSED");
});

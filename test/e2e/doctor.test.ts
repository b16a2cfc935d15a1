// framepass doctor with the built executable, on whatever machine the tests run.
import { expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { toolRows } from "../../cmd/tool-rows.ts";
import { freePort, listening, records, run, TempDir, Tool } from "../support/tool.ts";
import { until } from "../support/until.ts";

test("every check is a line with its state, and every tool can run or not", async () => {
  const { status, stdout, stderr } = await run("framepass", ["doctor"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const [findings = "", verdicts = ""] = stdout.split("\n\n");
  for (const line of findings.split("\n")) expect(line).toMatch(/^(ok|limited|missing) +\S.* \S/);
  for (const { name } of toolRows)
    expect(verdicts).toMatch(new RegExp(`^can(not)? run: .*\\b${name}\\b`, "m"));
});

test("a receiver can run on a free port, and not on one that is taken", async () => {
  const port = freePort();
  const free = await run("framepass", ["doctor", "receiver", "-p", port]);
  expect(free.status).toBe(0);
  expect(free.stdout).toContain(`0.0.0.0:${port}\n`);
  expect(free.stdout).toEndWith("\ncan run: receiver\n");
  await using other = await listening();
  const taken = await run("framepass", ["doctor", "receiver", "-p", other.port, "--json"]);
  expect(taken.status).toBe(3);
  const found = records(taken.stdout);
  expect(found.find(({ name }) => name === "port")).toMatchObject({
    record: "check",
    state: "missing",
    text: expect.stringContaining("another program listens there"),
  });
  expect(found.find(({ record }) => record === "tool")).toEqual({
    record: "tool",
    name: "receiver",
    runs: false,
    lacks: ["port"],
  });
  expect(taken.lines).toEqual(["framepass doctor: receiver cannot run here: port"]);
});

test("a window tool without a display cannot run", async () => {
  const env = { SDL_VIDEODRIVER: "nonesuch", DISPLAY: undefined, WAYLAND_DISPLAY: undefined };
  const { status, stdout, lines } = await run("framepass", ["doctor", "receiver-sdl"], { env });
  expect(status).toBe(3);
  expect(stdout).toMatch(/^missing +SDL2 /m);
  expect(lines).toEqual(["framepass doctor: receiver_sdl cannot run here: SDL2"]);
});

test("a signal ends doctor while a program that it asks hangs", async () => {
  using temp = new TempDir();
  for (const name of ["crosvm", "qemu-system-x86_64", "qemu-system-aarch64"]) {
    writeFileSync(temp.file(name), `#!/bin/sh\necho >> ${temp.file("asked")}\nsleep 60\n`);
    chmodSync(temp.file(name), 0o755);
  }
  const env = { PATH: `${temp.path}:${process.env.PATH}` };
  await using doctor = await Tool.start("framepass", ["doctor", "vhost-user-video"], { env });
  await until("QEMU's start", 10_000, () => existsSync(temp.file("asked")) || undefined);
  doctor.signal("SIGINT");
  expect((await doctor.ended()).status).toBe(130);
  expect(readFileSync(temp.file("asked"), "utf8")).toBe("\n"); // it went on to no other program
});

test.each([
  [["recever"], 'there is no tool "recever"; you probably meant receiver'],
  [["nosuch"], 'there is no tool "nosuch"; choose one of sender, receiver, receiver_sdl, '],
  [["sender", "-p", "5"], "--port is for receiver, receiver_sdl"],
])("doctor %p is wrong usage", async (words, text) => {
  const { status, lines } = await run("framepass", ["doctor", ...words]);
  expect({ status, lines: lines.length }).toEqual({ status: 2, lines: 1 });
  expect(lines[0]).toContain(text);
});

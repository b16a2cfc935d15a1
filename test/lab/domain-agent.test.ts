// The agent of Xen's domains, test/lab/xen/domain-agent.c, on this machine over loopback. What boots is shown by `bun run lab zc-xen`.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildStatic } from "./modules.ts";
import { Scratch } from "./scratch.ts";

/** An address of loopback that no other test has. */
const address = `127.${(process.pid >> 8) & 255}.${process.pid & 255}.9`;
const port = "5140";
const scratch = new Scratch();
let agent = "";
let server: Bun.Subprocess | undefined;

beforeAll(async () => {
  agent = await buildStatic(join(import.meta.dir, "xen/domain-agent.c"));
  server = Bun.spawn([agent, "serve", address, port, scratch.path]);
  await until(async () => (await run("true")).status === 0);
});

afterAll(async () => {
  server?.kill("SIGKILL");
  await server?.exited;
  scratch[Symbol.dispose]();
});

function start(script: string) {
  return Bun.spawn([agent, "run", address, port], {
    stdin: new Blob([script]),
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function run(script: string) {
  const client = start(script);
  const [stdout, stderr, status] = await Promise.all([
    new Response(client.stdout).text(),
    new Response(client.stderr).text(),
    client.exited,
  ]);
  return { status, stdout, stderr };
}

async function until(condition: () => unknown): Promise<void> {
  const lateMs = performance.now() + 20_000;
  while (!(await condition())) {
    if (performance.now() > lateMs) throw new Error("not in 20 s");
    await Bun.sleep(10);
  }
}

test("output, errors and status of a script come back", async () => {
  const said = { status: 7, stdout: "out\n", stderr: "err\n" };
  expect(await run("echo out; echo err >&2; exit 7")).toEqual(said);
  expect(await run("pwd")).toEqual({ status: 0, stdout: `${scratch.path}\n`, stderr: "" });
});

test("a script that is killed has the status that a shell gives it", async () => {
  expect((await run("kill -9 $$")).status).toBe(137);
});

test("output of 3 MB arrives whole", async () => {
  const { stdout } = await run("seq 400000");
  expect(stdout.length).toBe(2_688_895);
  expect(stdout.endsWith("\n399999\n400000\n")).toBe(true);
});

test("a script ends although what it left running keeps its output open", async () => {
  expect(await run("sleep 5 & echo $!")).toMatchObject({ status: 0, stderr: "" });
});

test("a script and what it started are killed when the client is", async () => {
  const client = start("sleep 60 & echo $! >started; mv started child; wait");
  const file = join(scratch.path, "child");
  await until(() => existsSync(file));
  const pid = (await Bun.file(file).text()).trim();
  client.kill("SIGKILL");
  await until(() => !existsSync(`/proc/${pid}`) || isZombie(pid));
});

async function isZombie(pid: string): Promise<boolean> {
  const status = await Bun.file(`/proc/${pid}/status`)
    .text()
    .catch(() => "State:\tZ");
  return status.includes("State:\tZ");
}

test("a server that is not there is one line and status 255", async () => {
  const client = Bun.spawn([agent, "run", address, "5141"], { stdin: "ignore", stderr: "pipe" });
  expect(await new Response(client.stderr).text()).toContain(`${address}: Connection refused`);
  expect(await client.exited).toBe(255);
});

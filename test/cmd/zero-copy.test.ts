// The tools as processes: killed, they leave nothing behind at the other end, which goes on with the next one.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { openDescriptors } from "../support/resources.ts";

const work = mkdtempSync(join(tmpdir(), "framepass-zc-"));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const entry = resolve(import.meta.dir, "../../cmd/framepass.ts");

/** A tool that runs until it is ended; its stderr so far. */
function start(...words: string[]) {
  const child = Bun.spawn([process.execPath, entry, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: 30_000,
  });
  let said = "";
  const read = (async () => {
    for await (const part of child.stderr) said += new TextDecoder().decode(part);
  })();
  return {
    pid: child.pid,
    said: () => said,
    /** Waits until `text` has been said `times` times. */
    async says(text: RegExp, times = 1): Promise<void> {
      const end = performance.now() + 15_000;
      while (said.split(text).length - 1 < times) {
        if (performance.now() > end) throw new Error(`never said ${text}:\n${said}`);
        await Bun.sleep(10);
      }
    },
    async end(signal: NodeJS.Signals): Promise<number | null> {
      child.kill(signal);
      await read;
      await child.exited;
      return child.exitCode;
    },
    status: async () => {
      await read;
      return await child.exited;
    },
  };
}

const address = `unix:${join(work, "socket")}`;
const sender = (...more: string[]) =>
  start(
    "sender_zc",
    "-d",
    "testsrc",
    "-a",
    address,
    "-r",
    "100",
    "--reconnect",
    "--stats",
    "0",
    ...more,
  );
const receiver = (...more: string[]) =>
  start("receiver_zc", "-l", address, "--keep", "--verify", "--stats", "0", ...more);

test("a receiver survives senders that are killed, and a sender survives receivers", async () => {
  const stays = receiver();
  await stays.says(/listening/);
  const idle = openDescriptors(stays.pid);
  for (let n = 1; n <= 3; n++) {
    const killed = sender();
    await stays.says(/unix sends/, n);
    await Bun.sleep(50);
    await killed.end("SIGKILL");
    // The connection is reset where an acknowledgement was never read.
    await stays.says(/has gone|ECONNRESET/, n);
    expect(openDescriptors(stays.pid)).toBe(idle);
  }
  const remains = sender();
  await stays.says(/unix sends/, 4);
  const busy = openDescriptors(remains.pid);
  await stays.end("SIGKILL");
  for (let n = 1; n <= 3; n++) {
    const next = receiver();
    await next.says(/unix sends/);
    await Bun.sleep(50);
    expect(openDescriptors(remains.pid)).toBe(busy);
    await next.end("SIGKILL");
  }
  expect(await remains.end("SIGINT")).toBe(130);
}, 40_000);

test("exit status and one line: no way to share, a wrong domain, a device that is not a camera", async () => {
  const run = async (...words: string[]) => {
    const tool = start(...words);
    return [await tool.status(), tool.said()] as const;
  };
  const tcp = ["-a", "127.0.0.1", "-p", "9"];
  const results = await Promise.all([
    run("sender_zc", "-d", "testsrc", ...tcp),
    run("sender_zc", "-d", "testsrc", ...tcp, "--share", "virtio-media", "-D", "32751"),
    run("sender_zc", "-d", "testsrc", ...tcp, "--share", "virtio-media", "-D", "32752"),
    run("receiver_zc", "-d", "/dev/null", "-l", "127.0.0.1", "-p", "9"),
    run("sender_zc", "-d", "testsrc", ...tcp, "--share", "fd"),
    run("share", "create"),
    run("share", "destroy", "x"),
    run("share", "create", join(work, "s"), "--size", "3M"),
    run("share", "create", join(work, "s"), "more"),
    run("share", "status", "more"),
    run("sender_zc", "-d", "testsrc", ...tcp, "--share", "xen-grant"),
  ]);
  const shown = results.map(([status, said]) => [status, said.split("\n")[0]]);
  expect(shown).toEqual([
    [2, expect.stringContaining("no way to share frames: give --domid")],
    [3, expect.stringContaining("no driver behind it")],
    [2, expect.stringContaining('--domid must be 0 to 32751, got "32752"')],
    [3, expect.stringContaining("VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER /dev/null: ENOTTY")],
    [2, expect.stringContaining("--share fd needs a unix:/path address")],
    [2, expect.stringContaining("FILE is missing")],
    [2, expect.stringContaining('ACTION must be create, status, got "destroy"')],
    [2, expect.stringContaining("--size must be 4M to 4G")],
    [2, expect.stringContaining('unexpected word "more"')],
    [2, expect.stringContaining('unexpected word "more"')],
    [2, expect.stringContaining("--domid is required with --share xen-grant")],
  ]);
}, 30_000);

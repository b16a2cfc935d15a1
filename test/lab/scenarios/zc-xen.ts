// Both flows between two stock domains of Xen: frames by TCP over dom0's bridge, and frames in pages that xen-gntalloc of the
// sender's domain grants and xen-gntdev of the receiver's maps. The hypervisor says which grants are mapped, and how.
import { join, resolve } from "node:path";
import type { Lab, Scenario } from "../lab.ts";
import { buildStatic } from "../modules.ts";
import type { Shell } from "../shell.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";
import { type MappedGrant, mappedGrants } from "../xen-grants.ts";
import type { XenHost } from "../xen-host.ts";

/** Time for a stream of a few hundred frames, or for a start, on an emulated processor whose host is busy. */
const patience = 180_000;
const source = resolve(import.meta.dir, "../xen");
/** The first domain that is created is number 1. */
const [SENDER, RECEIVER] = [1, 2];
const share = "--share xen-grant";
const to = "-a guest2 -p 5000";
const send = `sender_zc ${share} -D ${RECEIVER} ${to}`;
const small = "-d testsrc -W 160 -H 120 -r 15";
/** Pages of a small picture, and the buffers of a sender. */
const smallPages = 4 * 10;
const defaultLimit = 1024;
/** A start costs an emulated processor about a second. */
const cycles = 4;

export const scenario: Scenario = {
  name: "zc-xen",
  title: "the copy flow, and zero copy by grants, between two domains of Xen",
  seconds: 98,
  limitMs: 600_000,
  async run(lab) {
    const host = await lab.bootXen({
      domains: [{ modules: ["vivid n_devs=1 node_types=0x1"] }, {}],
      files: { "/bin/grants": await buildStatic(join(source, "grants.c")) },
    });
    const [sender, receiver] = host.domains.map(({ shell }) => shell);
    if (sender === undefined || receiver === undefined) throw new Error("two domains are needed");
    const stand: Stand = { host, sender, receiver };
    await lab.check("share status has the number of each domain and the limit of pages", () =>
      checkStatus(stand),
    );
    await lab.check("copy flow: 100 stamped frames cross and are verified", async () => {
      const receiving = await start(receiver, "receiver -p 5000 --verify");
      const sending = new Tool(sender, `sender -d testsrc -r 30 -n 100 ${to}`, patience);
      await bothEnd(sending, receiving, 100);
    });
    await lab.check("300 stamped frames are verified in the sender's pages", () =>
      verified(stand, "-d testsrc -r 60", 300),
    );
    await lab.check(
      "--share auto: 60 frames that vivid wrote by USERPTR are v4l2-ctl's picture",
      () => checkCamera(stand),
    );
    await lab.check("1080p needs more than the limit of pages and is refused, exit 3", async () => {
      const { status, stderr } = await sender.run(
        `framepass ${send} -d testsrc -W 1920 -H 1080 -n 1`,
        { timeoutMs: patience },
      );
      wanted("exit status", status, 3);
      for (const part of ["4052", "1024", "echo 8192 > /sys/module/xen_gntalloc/parameters/limit"])
        if (!stderr.includes(part)) throw new Error(`no "${part}" in: ${stderr.trim()}`);
    });
    await lab.check("1080p works once the limit is raised as that line says", async () => {
      await sender.ok("echo 8192 > /sys/module/xen_gntalloc/parameters/limit");
      await verified(stand, "-d testsrc -W 1920 -H 1080 -r 30", 30);
      await sender.ok(`echo ${defaultLimit} > /sys/module/xen_gntalloc/parameters/limit`);
    });
    await lab.check("no grant is left when both have ended", () => nothingLeft(stand));
    await recovery(lab, stand);
    await lab.check("no grant is left when the receiver's domain is destroyed", () =>
      destroyed(stand),
    );
  },
};

interface Stand {
  readonly host: XenHost;
  readonly sender: Shell;
  readonly receiver: Shell;
}

async function checkStatus({ host, sender, receiver }: Stand): Promise<void> {
  const numbers = await Promise.all(host.domains.map((domain) => domain.domid()));
  wanted("numbers by xl", numbers.join(" "), `${SENDER} ${RECEIVER}`);
  for (const [at, shell] of [sender, receiver].entries()) {
    const usable = '"send":{"usable":true},"receive":{"usable":true}';
    const way = `"way":"xen-grant",${usable},"domain":${numbers[at]},"limit":${defaultLimit}`;
    const said = await shell.ok("framepass share status --json", { timeoutMs: patience });
    if (!said.includes(way)) throw new Error(`no ${way} in ${said}`);
  }
}

/** Starts a receiver and waits until it listens. */
async function start(receiver: Shell, command: string): Promise<Tool> {
  const tool = new Tool(receiver, command, patience);
  await tool.says("listening on", patience);
  return tool;
}

const startBorrower = (receiver: Shell, more: string) =>
  start(receiver, `receiver_zc -p 5000 ${share} ${more}`);

async function bothEnd(sending: Tool, receiving: Tool, frames: number): Promise<void> {
  const sent = await sending.end();
  if (sent.status !== 0) throw new Error(`sender: status ${sent.status}: ${sent.lines.at(-1)}`);
  const { status, stopped, lines } = await receiving.end();
  if (status !== 0) throw new Error(`receiver: status ${status}: ${lines.at(-1)}`);
  wanted("frames verified", stopped.verified, frames);
}

/** Stamped frames that the receiver verifies in place. */
async function verified({ sender, receiver }: Stand, picture: string, frames: number) {
  const receiving = await startBorrower(receiver, "--verify");
  await bothEnd(new Tool(sender, `${send} ${picture} -n ${frames}`, patience), receiving, frames);
}

async function checkCamera({ sender, receiver }: Stand): Promise<void> {
  const frames = 60;
  const expected = await sender.ok(
    `v4l2-ctl -d0 --set-ctrl=osd_text_mode=2
     v4l2-ctl -d0 --set-fmt-video=width=640,height=480,pixelformat=YUYV \\
       --stream-mmap --stream-count=1 --stream-to=/tmp/still
     [ "$(head -c 614400 /tmp/still | tr -d '\\0' | wc -c)" -gt 300000 ] || exit 1
     for _ in $(seq ${frames}); do cat /tmp/still; done | md5sum`,
    { timeoutMs: patience },
  );
  // Without --share: both take grants.
  const receiving = await start(receiver, "receiver_zc -p 5000 -o /tmp/received");
  const lend = `sender_zc -D ${RECEIVER} ${to} -r 30 -n ${frames}`;
  const sending = new Tool(sender, lend, patience);
  const sent = await sending.end();
  wanted("exit status of the sender", sent.status, 0);
  wanted("exit status of the receiver", (await receiving.end()).status, 0);
  wanted("the sender's buffers", sent.started.memory, "userptr (/dev/xen/gntalloc)");
  const received = await receiver.ok("md5sum </tmp/received; rm /tmp/received", {
    timeoutMs: patience,
  });
  wanted(`sum of ${frames} pictures`, received, expected);
}

/** Pages of the sender's domain that the receiver's has mapped. */
async function mapped({ host }: Stand): Promise<readonly MappedGrant[]> {
  const all = await mappedGrants(host.dom0);
  return all.filter(({ owner, user }) => owner === SENDER && user === RECEIVER);
}

/** Waits until the receiver's domain has none of the sender's pages mapped, and the sender's domain grants none. */
async function nothingLeft(stand: Stand): Promise<void> {
  await nothingMapped(stand);
  await stand.sender.until('[ "$(grants in-use)" = 0 ]', patience);
}

async function nothingMapped(stand: Stand): Promise<void> {
  const lateMs = performance.now() + patience;
  for (;;) {
    const { length } = await mapped(stand);
    if (length === 0) return;
    if (performance.now() > lateMs) throw new Error(`${length} grants are still mapped`);
  }
}

/** Each side is killed, and another one streams. */
async function recovery(lab: Lab, stand: Stand): Promise<void> {
  const { sender, receiver } = stand;
  let receiving = await startBorrower(receiver, "--keep");
  let sending = new Tool(sender, `${send} ${small} --reconnect`, 2 * patience);
  await receiving.moves(5, patience);
  await lab.check("the hypervisor has the pages mapped for reading only", async () => {
    const grants = await mapped(stand);
    wanted("pages mapped", grants.length, smallPages);
    wanted(
      "of them for reading only",
      grants.filter(({ readOnly }) => readOnly).length,
      smallPages,
    );
  });
  await lab.check("it refuses a mapping of such a page that could be written", async () => {
    const { reference } = (await mapped(stand))[0] ?? {};
    const map = (how: string) => receiver.ok(`grants map ${SENDER} ${how} ${reference}`);
    wanted("for reading", (await map("read")).trim(), "mapped");
    wanted("for writing", (await map("write")).trim(), "Invalid argument");
  });
  await lab.check(
    "kill -9 of the receiver: nothing stays mapped, another one streams",
    async () => {
      receiving.kill("KILL");
      wanted("exit status", (await receiving.end()).status, 137);
      await nothingMapped(stand);
      receiving = await startBorrower(receiver, "--keep");
      await receiving.moves(5, patience);
    },
  );
  await lab.check("kill -9 of the sender: no grant is left, another one streams", async () => {
    sending.kill("KILL");
    wanted("exit status", (await sending.end()).status, 137);
    await nothingLeft(stand);
    const before = receiving.frames();
    sending = new Tool(sender, `${send} ${small} --reconnect`, 2 * patience);
    await receiving.moves(before + 5, patience);
  });
  await lab.check(`${cycles} times a receiver connects and is killed`, async () => {
    receiving.kill("KILL");
    await receiving.end();
    await killed(receiver, `framepass receiver_zc -p 5000 ${share} --stats 0`, " sends ");
    sending.kill("KILL");
    await sending.end();
    await nothingLeft(stand);
  });
  await lab.check(`${cycles} times a sender connects and is killed`, async () => {
    receiving = await startBorrower(receiver, "--keep");
    await killed(sender, `framepass ${send} ${small} --stats 0`, "connected to");
    receiving.kill("KILL");
    await receiving.end();
    await nothingLeft(stand);
  });
}

/** Starts a command, waits until it says that it is connected, kills it, and so on. */
async function killed(shell: Shell, command: string, says: string): Promise<void> {
  await shell.ok(
    `for _ in $(seq ${cycles}); do
       ${command} 2>/tmp/said &
       until grep -q '${says}' /tmp/said; do
         kill -0 $! || { cat /tmp/said >&2; exit 1; }; sleep 0.1
       done
       kill -9 $!; wait $!; rm /tmp/said
     done; true`,
    { timeoutMs: patience },
  );
}

/** The receiver's domain goes while it has the pages mapped. */
async function destroyed(stand: Stand): Promise<void> {
  const receiving = await startBorrower(stand.receiver, "--keep");
  const sending = new Tool(stand.sender, `${send} ${small}`, patience);
  await receiving.moves(5, patience);
  await stand.host.domains[1]?.destroy();
  await nothingMapped(stand);
  sending.kill("KILL");
  await sending.end();
  await nothingLeft(stand);
}

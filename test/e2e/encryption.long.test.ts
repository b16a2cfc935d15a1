// The tunnels of docs/encryption.md, between two network namespaces: the lines of the page are run as they are. What crosses
// the link is searched for what a stream has; the run without a tunnel shows that the search finds it.
import { beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { FRAME_MAGIC, HELLO_MAGIC, VERSION } from "../../src/stream/hello.ts";
import { plainLines, toolLine, tunnels } from "../support/encryption-page.ts";
import { painted } from "../support/painted.ts";
import type { Tool } from "../support/tool.ts";
import { ensureTunnels, TunnelHosts } from "../support/tunnel-hosts.ts";
import { TwoHosts } from "../support/two-hosts.ts";
import { WireCapture } from "../support/wire-capture.ts";

const permitted = TwoHosts.permitted();
const limitMs = 120_000;
/** 2 s; on a busy machine a tunnel may pass a tenth of what it can. */
const streamMs = 60_000;

/** What a stream of testsrc has in the clear. */
const marks: Readonly<Record<string, Uint8Array>> = {
  "the hello": bytes(HELLO_MAGIC, VERSION),
  "a frame's header": bytes(FRAME_MAGIC, 0), // of buffer 0
  "a stamp": bytes(0x46505331, 0), // docs/stamp.md
  "a row of the picture": painted({ width: 640, height: 480, format: "YUYV" }, 1).subarray(
    100 * 1280,
    100 * 1280 + 64,
  ),
};

/** Big-endian numbers. */
function bytes(...numbers: number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * numbers.length));
  for (const [i, number] of numbers.entries()) view.setUint32(4 * i, number);
  return new Uint8Array(view.buffer);
}

beforeAll(() => {
  if (permitted) ensureTunnels();
});

/** Sends to a receiver with a capture beside it; answers which marks crossed the link. */
async function send(hosts: TunnelHosts, receiver: Tool, line: string) {
  const file = join(hosts.directory("sender"), "wire.pcap");
  await using capture = await WireCapture.start(hosts.on("sender"), "cable", file);
  await using sender = await hosts.start("sender", line);
  const sent = await sender.ended(streamMs);
  const received = await receiver.ended();
  const wire = await capture.end(60 * 640 * 480 * 2); // all pictures have crossed this link
  expect(sent.stderr).toContain("done: 60 frames");
  expect(received.stderr).toContain("verified 60 frames");
  expect([sent.status, received.status]).toEqual([0, 0]);
  const seen = Object.keys(marks).filter((name) => wire.includes(marks[name] ?? ""));
  return seen;
}

test.skipIf(!permitted)(
  "without a tunnel 60 frames arrive, and their headers, stamps and pictures are seen on the wire",
  async () => {
    await using hosts = await TunnelHosts.make();
    await using receiver = await hosts.start("receiver", plainLines.receiver);
    await receiver.says("listening on");
    const seen = await send(hosts, receiver, plainLines.sender);
    expect(seen).toEqual(Object.keys(marks));
  },
  limitMs,
);

test.skipIf(!permitted).each(tunnels())(
  "$name: 60 frames arrive as they were sent, nothing of them is seen on the wire, and --allow refuses who is not in the tunnel",
  async (tunnel) => {
    await using hosts = await TunnelHosts.make();
    await hosts.make(tunnel);
    const line = toolLine(tunnel, "receiver");
    await using receiver = await hosts.start("receiver", line);
    await receiver.says("listening on");
    await refusedOutside(hosts, line);
    const seen = await send(hosts, receiver, toolLine(tunnel, "sender"));
    expect(seen).toEqual([]);

    // Also where the receiver listens on all addresses.
    await using open = await hosts.start("receiver", line.replace(/-l \S+ /, ""));
    await open.says("listening on");
    const said = await sentOutside(hosts, TwoHosts.far);
    expect(said).toMatch(/the receiver refused the stream: 10\.91\.0\.1:\d+ is not in its --allow/);
    expect(open.stderr).toMatch(/10\.91\.0\.1:\d+ is not in --allow, refused/);
  },
  limitMs,
);

/** The receiver's own line keeps out a sender that comes to its address, but not through the tunnel. */
async function refusedOutside(hosts: TunnelHosts, line: string): Promise<void> {
  const [, address = ""] = /-l (\S+)/.exec(line) ?? [];
  if (address === "127.0.0.1") {
    expect(await sentOutside(hosts, TwoHosts.far)).toContain("ECONNREFUSED");
    return;
  }
  using _route = hosts.outside(address);
  expect(await sentOutside(hosts, address)).toContain("is not in its --allow");
}

/** What a sender says that connects without the tunnel, and fails. */
async function sentOutside(hosts: TunnelHosts, address: string): Promise<string> {
  await using sender = await hosts.start("sender", `sender -d testsrc -a ${address} -p 5000 -n 60`);
  const { status, stderr } = await sender.ended();
  expect({ status }, stderr).toEqual({ status: 1 });
  return stderr;
}

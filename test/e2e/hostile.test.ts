// Peers that break the protocol, at every point: the tool prints one line that names field, value and limit.
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { V4L2_BUF_FLAG_ERROR } from "../../ffi/linux/videodev2.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { ProtocolError } from "../../src/errors.ts";
import { STAMP_BYTES, StampedBuffer } from "../../src/format/stamp.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { Loop } from "../../src/loop.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { receiveFrames } from "../../src/stream/copy/receive.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { frameBytes, helloBytes, RawSender } from "../support/peer.ts";
import { openDescriptors } from "../support/resources.ts";
import { freePort, listening, records, run, toLoopback, within } from "../support/tool.ts";

const SIZE = 64 * 48;
const payload = new Uint8Array(SIZE).fill(7);
const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

/** What a peer sends before it closes, and the text that the tool prints. */
interface BadPeer {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly says: string;
}

/** Peers that are no senders: their hello does not come. */
const strangers: readonly BadPeer[] = [
  {
    what: "a wrong magic",
    bytes: helloBytes({ magic: 0x47455420 }),
    says: "hello: magic is 0x47455420, must be 0x56344c42",
  },
  {
    what: "a request of HTTP",
    bytes: new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    says: "hello: magic is 0x47455420, must be 0x56344c42",
  },
  {
    what: "nothing at all",
    bytes: new Uint8Array(0),
    says: "closed after 0 of the 28 bytes of a hello",
  },
  {
    what: "half a hello",
    bytes: helloBytes().slice(0, 14),
    says: "closed after 14 of the 28 bytes of a hello",
  },
];

/** Senders that are wrong. */
const wrongSenders: readonly BadPeer[] = [
  {
    what: "a wrong version",
    bytes: helloBytes({ version: 3 }),
    says: "hello: version is 3, must be 2 to 2",
  },
  {
    what: "width 0",
    bytes: helloBytes({ width: 0 }),
    says: "hello: width is 0, must be 1 to 16384",
  },
  {
    what: "too great a height",
    bytes: helloBytes({ height: 16385 }),
    says: "hello: height is 16385, must be 1 to 16384",
  },
  {
    what: "sizeimage 0",
    bytes: helloBytes({ sizeimage: 0 }),
    says: `hello: sizeimage is 0, must be ${SIZE} to 67108864 bytes`,
  },
  {
    what: "less than a picture",
    bytes: helloBytes({ sizeimage: SIZE - 1 }),
    says: `hello: sizeimage is ${SIZE - 1}, must be ${SIZE} to`,
  },
  {
    what: "4 GiB pictures",
    bytes: helloBytes({ sizeimage: 0xffff_ffff }),
    says: "hello: sizeimage is 4294967295, must be",
  },
  {
    what: "no buffers",
    bytes: helloBytes({ bufferCount: 0 }),
    says: "hello: buffer_count is 0, must be 1 to 64",
  },
  {
    what: "65 buffers",
    bytes: helloBytes({ bufferCount: 65 }),
    says: "hello: buffer_count is 65, must be 1 to 64",
  },
  {
    what: "a wrong frame magic",
    bytes: join(helloBytes(), frameBytes(0, SIZE, 1)),
    says: "frame: magic is 0x00000001, must be 0x5652464d",
  },
  {
    what: "more than sizeimage",
    bytes: join(helloBytes(), frameBytes(0, SIZE + 1)),
    says: `frame: bytesused is ${SIZE + 1}, must be 0 to ${SIZE} (sizeimage)`,
  },
  {
    what: "half a header",
    bytes: join(helloBytes(), frameBytes(0, SIZE).slice(0, 39)),
    says: "closed after 39 of the 40 bytes of a frame",
  },
  {
    what: "half a payload",
    bytes: join(helloBytes(), frameBytes(0, SIZE), payload.slice(0, 100)),
    says: `closed after 100 of the ${SIZE} bytes of a payload`,
  },
];

const bad = [...strangers, ...wrongSenders];

test("each wrong sender ends the receiver with exit status 1 and one line that says why", async () => {
  const left = [...wrongSenders];
  const worker = async () => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      await using receiver = await listening(["--stats", "0"]);
      using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
      await peer.send(next.bytes);
      peer.end();
      const { status, lines } = await receiver.ended();
      const errors = lines.filter((line) => line.includes("error: "));
      expect({ what: next.what, status, errors: errors.length }).toEqual({
        what: next.what,
        status: 1,
        errors: 1,
      });
      expect(errors[0]).toContain(next.says);
    }
  };
  await Promise.all([worker(), worker(), worker()]);
});

const good = join(helloBytes(), frameBytes(0, SIZE), payload);

test("a connection that is no sender costs itself only: without --keep the receiver serves its first sender", async () => {
  for (const several of [[], ["--senders", "2"]]) {
    await using receiver = await listening(["--stats", "0", "--json", ...several]);
    const target = { host: "127.0.0.1", port: Number(receiver.port) };
    using silent = await RawSender.to(target); // stays connected
    for (const { bytes } of strangers) {
      using peer = await RawSender.to(target);
      await peer.send(bytes);
      peer.end();
      await within(peer.closed, "the close");
    }
    using half = await RawSender.to(target); // the rest comes later
    await half.send(good.slice(0, 10));
    if (several.length > 0) {
      using sender = await RawSender.to(target);
      await sender.send(good);
      sender.end();
      await within(sender.closed, "the close");
    }
    await half.send(good.slice(10));
    half.end();
    const { status, stdout } = await receiver.ended();
    expect({ several, status }).toEqual({ several, status: 0 });
    const said = records(stdout);
    const failures = said.filter(({ record }) => record === "failure");
    expect(failures.map(({ message }) => message)).toEqual(
      strangers.map(({ says }) => expect.stringContaining(says)),
    );
    expect(said.at(-1)).toMatchObject({
      record: "stopped",
      reason: "done",
      errors: strangers.length,
    });
    expect(said.at(-1)?.frames).toBe(several.length > 0 ? 2 : 1);
    await within(silent.closed, "the close");
  }
});

test("with --keep all bad peers in a row cost nothing: no descriptor stays, and the next good one is served", async () => {
  await using receiver = await listening(["--keep", "--stats", "0", "--json"]);
  const target = { host: "127.0.0.1", port: Number(receiver.port) };
  const before = openDescriptors(receiver.pid);
  for (const { bytes } of bad) {
    using peer = await RawSender.to(target);
    await peer.send(bytes);
    peer.end();
    await within(peer.closed, "the close");
  }
  for (let i = 0; i < 20; i++) {
    using peer = await RawSender.to(target);
    await peer.send(join(helloBytes(), frameBytes(0, SIZE), payload));
    peer.end();
    await receiver.says("has gone", i + 1);
  }
  expect(openDescriptors(receiver.pid)).toBe(before);
  receiver.signal("SIGINT");
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(130);
  // The log counts faults of one kind, the records have each.
  const said = records(stdout);
  const failures = said.filter(({ record }) => record === "failure");
  expect(failures.length).toBe(bad.length);
  for (const [i, { says }] of bad.entries()) expect(failures[i]?.message).toContain(says);
  expect(said.at(-1)).toMatchObject({
    record: "stopped",
    reason: "stopped",
    frames: 20,
    bytes: 20 * SIZE,
    errors: bad.length,
  });
});

test("a receiver that speaks, or hangs up, ends the sender with one line and exit status 1", async () => {
  const one = async (answer: string, says: RegExp) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end(answer));
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen(0, "127.0.0.1", () => resolve());
    await within(promise, "a listening socket");
    const { port } = server.address() as { port: number };
    const { status, lines } = await run("sender", [...toLoopback(String(port)), "-r", "10"]);
    server.close();
    expect(status).toBe(1);
    expect(lines.filter((line) => line.includes("error: "))).toHaveLength(1);
    expect(lines.at(-1)).toMatch(says);
  };
  await Promise.all([
    one("HTTP/1.1 400", /sent something, a receiver sends nothing|EPIPE|ECONNRESET/),
    one("", /the receiver closed the connection|EPIPE|ECONNRESET/),
  ]);
});

test("--max-frame is the limit for what a peer may announce", async () => {
  await using receiver = await listening(["--keep", "--max-frame", String(SIZE)]);
  const target = { host: "127.0.0.1", port: Number(receiver.port) };
  using good = await RawSender.to(target);
  await good.send(helloBytes());
  good.end();
  await receiver.says("sends 64x48 GREY");
  using greedy = await RawSender.to(target);
  await greedy.send(helloBytes({ sizeimage: SIZE + 1 }));
  await receiver.says(
    `sizeimage is ${SIZE + 1}, must be ${SIZE} to ${SIZE} bytes (64x48 GREY, --max-frame)`,
  );
});

test("frames shorter than sizeimage, of no bytes even, are taken as they are and counted", async () => {
  await using receiver = await listening(["--json", "--stats", "0"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  await peer.send(join(helloBytes(), frameBytes(0, 0), frameBytes(1, 10), payload.slice(0, 10)));
  await peer.send(join(frameBytes(2, SIZE), payload));
  peer.end();
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect(last).toMatchObject({ record: "stopped", frames: 3, short: 2, bytes: SIZE + 10 });
});

test("a frame that the sender's driver flagged as damaged is counted as damaged", async () => {
  await using receiver = await listening(["--json", "--stats", "0"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  const damaged = frameBytes(1, SIZE);
  new DataView(damaged.buffer, damaged.byteOffset).setUint32(12, V4L2_BUF_FLAG_ERROR | 0x2000);
  await peer.send(join(helloBytes(), frameBytes(0, SIZE), payload, damaged, payload));
  peer.end();
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect(last).toMatchObject({ record: "stopped", frames: 2, errors: 1 });
});

test("a peer that falls silent in a header or in a payload is given up; before its hello it is closed, and the next one is served", async () => {
  const silences = [
    {
      what: "in the middle of a header",
      bytes: join(helloBytes(), frameBytes(0, SIZE).slice(0, 8)),
      says: "after 8 of the 40 bytes of a frame",
    },
    {
      what: "in the middle of a payload",
      bytes: join(helloBytes(), frameBytes(0, SIZE), payload.slice(0, 9)),
      says: `after 9 of the ${SIZE} bytes of a payload`,
    },
  ];
  // In this process: the executables' 10 s are too long for a test; the code is the same.
  setUpLog("receiver", "error");
  using loop = new Loop();
  const receive = async ({ bytes, says }: (typeof silences)[number]) => {
    const port = Number(freePort());
    const listens = Promise.withResolvers<void>();
    const reception = serveSenders(
      loop,
      {
        address: parseAddress("--listen", "127.0.0.1", port),
        allowed: () => true,
        keep: false,
        stallMs: 500,
        stats: 0,
        json: false,
        listening: () => listens.resolve(),
        receive: (run) =>
          receiveFrames({
            ...run,
            maxFrame: 1 << 20,
            openTarget: (stream, waiting) =>
              new MemoryTarget(stream, { allocator: memfdAllocator }, waiting),
          }),
      },
      new AbortController().signal,
    );
    const ended = reception.catch((error: unknown) => error);
    await within(listens.promise, "the listener");
    using silent = await RawSender.to({ host: "127.0.0.1", port });
    await within(silent.closed, "the close of a silent connection");
    using peer = await RawSender.to({ host: "127.0.0.1", port });
    await peer.send(bytes);
    const error = await within(ended, "the stall", 5000);
    expect(error).toBeInstanceOf(ProtocolError);
    expect((error as Error).message).toContain(`silent for 0.5 s ${says}`);
  };
  await loop.run(Promise.all(silences.map(receive)));
});

/** A picture as testsrc stamps it. */
function stamped(sequence: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(SIZE)).fill(100);
  new StampedBuffer(bytes).write(sequence);
  return bytes;
}
const torn = (sequence: number) => {
  const bytes = stamped(sequence);
  bytes.set(stamped(sequence + 1).subarray(0, STAMP_BYTES - 8)); // head of the next picture
  return bytes;
};
const flipped = (sequence: number) => {
  const bytes = stamped(sequence);
  bytes[SIZE - 1] = 101; // one byte of the last pixel
  return bytes;
};
const wrong = [
  { what: "torn", third: torn(2), says: "frame 3, sequence 2, is torn; 2 before it are right" },
  {
    what: "changed in one byte",
    third: flipped(2),
    says: "frame 3, sequence 2, is torn; 2 before it are right",
  },
  {
    what: "frozen",
    third: stamped(1),
    says: "frame 3, sequence 2, is frozen: stamped 1 once more; 2 before it are right",
  },
  {
    what: "all zero",
    third: new Uint8Array(SIZE),
    says: "frame 3, sequence 2, is all zero; 2 before it are right",
  },
  {
    what: "another one",
    third: stamped(7),
    says: "frame 3, sequence 2, is wrong: stamped 7; 2 before it are right",
  },
  {
    what: "not stamped",
    third: payload,
    says: "frame 3, sequence 2, is wrong: no stamp; 2 before it are right",
  },
  {
    what: "short",
    third: stamped(2).slice(0, SIZE - 1),
    says: "frame 3, sequence 2, is torn; 2 before it are right",
  },
];

test("--verify ends with exit status 1 and a count at the first wrong picture", async () => {
  const one = async ({ third, says }: (typeof wrong)[number]) => {
    await using receiver = await listening(["--verify", "--stats", "0"]);
    using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
    const frame = (n: number, bytes: Uint8Array) => join(frameBytes(n, bytes.length), bytes);
    await peer.send(
      join(helloBytes(), frame(0, stamped(0)), frame(1, stamped(1)), frame(2, third)),
    );
    const { status, stderr } = await receiver.ended();
    expect({ says, status }).toEqual({ says, status: 1 });
    expect(stderr).toContain(says);
    expect(stderr).toContain("verified 2 frames");
  };
  for (let i = 0; i < wrong.length; i += 3) await Promise.all(wrong.slice(i, i + 3).map(one));
});

test("--verify takes right pictures, also with numbers left out, and says how many", async () => {
  await using receiver = await listening(["--verify", "--json", "--stats", "0"]);
  using peer = await RawSender.to({ host: "127.0.0.1", port: Number(receiver.port) });
  await peer.send(helloBytes());
  for (const n of [0, 1, 5, 6]) await peer.send(join(frameBytes(n, SIZE), stamped(n)));
  peer.end();
  const { status, stdout } = await receiver.ended();
  expect(status).toBe(0);
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
  expect(last).toMatchObject({ frames: 4, verified: 4, drops: 3 });
});

// Which connections count as senders.
import { expect, test } from "bun:test";
import type { Loop } from "../../src/loop.ts";
import { Arrivals } from "../../src/stream/arrivals.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import { Listener } from "../../src/stream/socket/listener.ts";
import { onLoop } from "../support/loop.ts";
import { helloBytes, RawSender } from "../support/peer.ts";

/** Runs `task` with what arrives at a port of this host, and the reasons why connections were closed. */
async function arriving(
  task: (arrivals: Arrivals, connect: () => Promise<RawSender>, closed: string[]) => Promise<void>,
): Promise<void> {
  await onLoop(async (loop: Loop, signal) => {
    const address = parseAddress("--listen", "127.0.0.1", 0);
    const listener = await Listener.open(loop, address, () => true, signal);
    if (listener === undefined) throw new Error("the test took too long");
    const closed: string[] = [];
    const stranger = (_peer: unknown, { message }: Error) => closed.push(message);
    using arrivals = new Arrivals(loop, listener, { stallMs: 0, stranger });
    const port = Number(arrivals.name.split(":").at(-1));
    await task(arrivals, () => RawSender.to({ host: "127.0.0.1", port }), closed);
  });
}

test("of many silent connections 16 stay, and a sender arrives among them; all are closed at the end", async () => {
  const peers: RawSender[] = [];
  await arriving(async (arrivals, connect, closed) => {
    const never = new AbortController().signal;
    const arrived = arrivals.next(never);
    for (let i = 0; i < 20; i++) peers.push(await connect());
    await Promise.all(peers.slice(0, 4).map((peer) => peer.closed));
    const sender = await connect();
    peers.push(sender);
    await sender.send(helloBytes());
    const peer = await arrived;
    using _socket = peer?.socket;
    expect(peer?.address.name).toStartWith("127.0.0.1:");
    expect(closed).toHaveLength(5); // the sender was the 21st
    expect(closed[0]).toMatch(
      /^127\.0\.0\.1:\d+: closed for other connections after 0 of the 28 bytes of a hello$/,
    );
  });
  await Promise.all(peers.map((peer) => peer.closed));
});

test("senders that arrive together are all there, one after the other", () =>
  arriving(async (arrivals, connect, closed) => {
    const never = new AbortController().signal;
    const peers = await Promise.all(Array.from({ length: 12 }, connect));
    await Promise.all(peers.map((peer) => peer.send(helloBytes())));
    const names = new Set<string>();
    for (const _ of peers) {
      const peer = await arrivals.next(never);
      if (peer !== undefined) names.add(peer.address.name);
      peer?.socket[Symbol.dispose]();
    }
    expect(names.size).toBe(12);
    expect(closed).toEqual([]);
  }));

test("a connection whose hello comes while others are refused is refused as well", () =>
  arriving(async (arrivals, connect) => {
    const never = new AbortController().signal;
    const arrived = arrivals.next(never);
    using early = await connect();
    using first = await connect();
    await first.send(helloBytes());
    const peer = await arrived;
    using _socket = peer?.socket;
    using _others = arrivals.refuseOthers("busy");
    await early.send(helloBytes());
    early.end();
    await early.closed;
  }));

test("a wait that is stopped loses no sender", () =>
  arriving(async (arrivals, connect) => {
    for (let i = 0; i < 20; i++) {
      const stop = new AbortController();
      const stopped = arrivals.next(stop.signal);
      using sender = await connect();
      await sender.send(helloBytes());
      stop.abort();
      const peer = (await stopped) ?? (await arrivals.next(new AbortController().signal));
      expect(peer).toBeDefined();
      peer?.socket[Symbol.dispose]();
    }
  }));

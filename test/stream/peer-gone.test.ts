// The class of an error says whether the peer caused it.
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { errno, SysError } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import { inetAddress } from "../../ffi/sockaddr.ts";
import { accept, listenOn, localAddress, send, socketPair } from "../../ffi/socket.ts";
import { exitStatus, isExpected, onPeer, PeerGone, ProtocolError } from "../../src/errors.ts";
import { Inbox } from "../../src/stream/inbox.ts";
import { Outbox } from "../../src/stream/outbox.ts";
import { isSameHost } from "../../src/stream/socket/same-host.ts";
import { thrown } from "../support/thrown.ts";

test("a failed call on a peer's socket reads like the SysError it comes from, and is a ProtocolError", () => {
  const error = new PeerGone("send", "10.0.0.9:5000", errno.EPIPE);
  expect(error.message).toBe(new SysError("send", "10.0.0.9:5000", errno.EPIPE).message);
  expect([error.call, error.object, error.code]).toEqual(["send", "10.0.0.9:5000", "EPIPE"]);
  expect(error).toBeInstanceOf(ProtocolError);
  expect([isExpected(error), exitStatus(error)]).toEqual([true, 1]);
});

test("sending to a peer that is gone, and a close in the middle of a message, throw PeerGone", () => {
  const [near, far] = socketPair();
  using _near = near;
  const outbox = new Outbox(1, 8);
  const inbox = new Inbox("frame", 4, 8);
  const part = new Uint8Array(new ArrayBuffer(3));
  send(far, addressOf(part), part.length);
  far.close();
  expect(inbox.fill(near)).toBe("some");
  expect(inbox.fill(near)).toBe("nothing"); // drained; the next call asks the kernel again
  const closed = thrown(() => inbox.fill(near));
  expect(closed).toBeInstanceOf(PeerGone);
  expect(closed.message).toBe("socketpair: closed after 3 of the 8 bytes of a frame");
  expect((closed as PeerGone).code).toBe(undefined);
  outbox.push(new Uint8Array(new ArrayBuffer(8)));
  const failed = thrown(() => outbox.flush(near));
  expect(failed).toBeInstanceOf(PeerGone);
  expect((failed as PeerGone).code).toBe("EPIPE");
});

test("only a failed call on the socket is the peer's fault, not one on a file of the same name", () => {
  const disk = new SysError("write", "10.0.0.9:5000", errno.ENOSPC);
  expect(disk).not.toBeInstanceOf(ProtocolError);
  const told = thrown(() =>
    onPeer(() => {
      throw new SysError("getpeername", "10.0.0.9:5000", errno.ENOTCONN);
    }),
  );
  expect(told).toBeInstanceOf(PeerGone);
});

test("a sender that resets the connection before it is served is gone: the receiver did nothing wrong", async () => {
  using listener = listenOn(inetAddress("127.0.0.1", 0));
  const port = Number(/:(\d+)$/.exec(localAddress(listener).name)?.[1]);
  const sender = connect(port, "127.0.0.1");
  await new Promise((connected) => sender.once("connect", connected));
  sender.resetAndDestroy();
  await Bun.sleep(50);
  const accepted = accept(listener);
  if (accepted === undefined) throw new Error("no connection is waiting");
  using socket = accepted.socket;
  const gone = thrown(() => isSameHost(socket));
  expect(gone).toBeInstanceOf(PeerGone);
  expect((gone as PeerGone).code).toBe("ENOTCONN");
});

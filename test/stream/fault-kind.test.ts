// Which faults are one line of the log.
import { expect, test } from "bun:test";
import { errno } from "../../ffi/errno.ts";
import { PeerGone, ProtocolError, UnavailableError } from "../../src/errors.ts";
import { faultKind } from "../../src/stream/fault-kind.ts";

const PEER = "127.0.0.1:40001";
const kind = (text: string) => faultKind(new ProtocolError(text), PEER);

test.each([
  [
    "hello: magic is 0x00001000, must be 0x56344c42",
    "hello: magic is 0xdeadbeef, must be 0x56344c42",
  ],
  [
    "hello: sizeimage is 0, must be 1 to 9 bytes (64x48 ABCD, --max-frame)",
    "hello: sizeimage is 7, must be 1 to 9 bytes (64x48 )x(1, --max-frame)",
  ],
  ["hello: 64x48 ABCD cannot be converted", "hello: 16x48 WXYZ cannot be converted"],
  ["handle 5: not of kind region", "handle 77: not of kind region"],
  [
    `${PEER}: the receiver refused: 10.0.0.1:7 is not in its --allow`,
    `${PEER}: the receiver refused: 10.0.0.1:8 is not`,
  ],
])("a fault is the same with other numbers: %s", (one, other) => {
  expect(kind(one)).toBe(kind(other));
});

test("faults of different fields, classes and errnos stay different", () => {
  const kinds = [
    kind("hello: magic is 0x1"),
    kind("hello: version is 3"),
    kind("handle 5: not of kind region"),
    kind("handle 5: no descriptor came with it"),
    faultKind(new UnavailableError("handle 5: no descriptor came with it"), PEER),
    faultKind(new PeerGone("recv", PEER, errno.ECONNRESET), PEER),
    faultKind(new PeerGone("recv", PEER, errno.ETIMEDOUT), PEER),
  ];
  expect(new Set(kinds).size).toBe(kinds.length);
});

test("the port of the peer is not part of the kind", () => {
  const gone = (peer: string) => faultKind(new PeerGone("recv", peer, errno.ECONNRESET), peer);
  expect(gone("[fe80::1]:5")).toBe(gone("[fe80::1]:6"));
});

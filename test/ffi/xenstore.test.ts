// A question to xenstore over a socket pair in place of /dev/xen/xenbus.
import { expect, test } from "bun:test";
import type { SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import { XS_ERROR, XS_READ, xsdSockmsg } from "../../ffi/linux/xs-wire.ts";
import { socketPair } from "../../ffi/socket.ts";
import { readXenstore } from "../../ffi/xenstore.ts";
import { put, takeAll } from "../support/streams.ts";

/** Asks for "domid" when `answers` wait in the socket. Returns the answer or the errno, and what was asked. */
function ask(answers: readonly Uint8Array<ArrayBuffer>[], close = false) {
  const [near, far] = socketPair();
  using _near = near;
  using _far = far;
  for (const answer of answers) put(far, answer);
  const asked = () => takeAll(far, 22);
  if (close) far[Symbol.dispose]();
  const said = answerOf(near);
  return { said, asked: close ? undefined : asked() };
}

function answerOf(near: Fd): string {
  try {
    return readXenstore(near, "domid", 30);
  } catch (error) {
    return (error as SysError).code;
  }
}

function message(type: number, text: string, change: { id?: number; len?: number } = {}) {
  const body = new TextEncoder().encode(text);
  const bytes = new Uint8Array(new ArrayBuffer(xsdSockmsg.size + body.length));
  const header = xsdSockmsg.over(bytes);
  header.type = type;
  header.req_id = change.id ?? 1;
  header.len = change.len ?? body.length;
  bytes.set(body, xsdSockmsg.size);
  return bytes;
}

test("the question is one message, and its answer is taken in whatever pieces it comes", () => {
  const { said, asked } = ask([message(XS_READ, "12")]);
  expect(said).toBe("12");
  const question = xsdSockmsg.over(asked ?? new Uint8Array(new ArrayBuffer(22)));
  expect([question.type, question.req_id, question.tx_id, question.len]).toEqual([
    XS_READ,
    1,
    0,
    6,
  ]);
  expect(new TextDecoder().decode(asked?.subarray(16))).toBe("domid\0");
  const whole = message(XS_READ, "32751");
  expect(ask([whole.slice(0, 7), whole.slice(7, 18), whole.slice(18)]).said).toBe("32751");
});

test("a refusal is its errno, a wrong answer EPROTO, and none at all ETIMEDOUT", () => {
  expect(ask([message(XS_ERROR, "ENOENT\0")]).said).toBe("ENOENT");
  expect(ask([message(XS_ERROR, "EWHAT\0")]).said).toBe("EPROTO");
  expect(ask([message(XS_READ, "12", { id: 2 })]).said).toBe("EPROTO");
  expect(ask([message(XS_READ, "12", { len: 4097 })]).said).toBe("EPROTO");
  expect(ask([]).said).toBe("ETIMEDOUT");
  expect(ask([message(XS_READ, "12", { len: 3 })]).said).toBe("ETIMEDOUT");
  expect(ask([message(XS_READ, "12").slice(0, 10)]).said).toBe("ETIMEDOUT");
  expect(["EPIPE", "ECONNRESET"]).toContain(ask([], true).said);
});

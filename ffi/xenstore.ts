// One question to xenstore by /dev/xen/xenbus: what the host has written down for this domain.
import { errno, must, SysError } from "./errno.ts";
import { type Fd, readAt, writeAt } from "./fd.ts";
import { addressOf } from "./libc.ts";
import { XS_READ, xsdSockmsg } from "./linux/xs-wire.ts";
import { waitForInput } from "./notifier.ts";

/** The text that we take at most; xenstore itself allows 4096 bytes. */
const MOST_BYTES = 4096;
const REQUEST = 1;

/**
 * Reads the value of `key`, relative to this domain's own directory. `fd` is /dev/xen/xenbus, opened without blocking. Waits
 * `timeoutMs` at most. Throws SysError: ETIMEDOUT without an answer, EPROTO for a wrong one, ENOENT when there is no such key.
 */
export function readXenstore(fd: Fd, key: string, timeoutMs: number): string {
  const what = `read(${key})`;
  const path = new TextEncoder().encode(`${key}\0`);
  const question = new Uint8Array(new ArrayBuffer(xsdSockmsg.size + path.length));
  const header = xsdSockmsg.over(question);
  header.type = XS_READ;
  header.req_id = REQUEST;
  header.len = path.length;
  question.set(path, xsdSockmsg.size);
  const sent = must(writeAt(fd.number, addressOf(question), question.length), "write", fd.name);
  if (sent !== question.length) throw new SysError("write", fd.name, errno.EIO);

  const deadline = performance.now() + timeoutMs;
  const answer = xsdSockmsg.over(readAll(fd, xsdSockmsg.size, deadline, what));
  if (answer.req_id !== REQUEST || answer.len > MOST_BYTES) {
    throw new SysError(what, fd.name, errno.EPROTO);
  }
  const text = new TextDecoder().decode(readAll(fd, answer.len, deadline, what));
  if (answer.type === XS_READ) return text;
  // An error's text is the name of an errno.
  const code = text.replace(/\0.*$/, "") as keyof typeof errno;
  throw new SysError(what, fd.name, errno[code] ?? errno.EPROTO);
}

/** Reads exactly `length` bytes. */
function readAll(fd: Fd, length: number, deadline: number, what: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(length));
  let got = 0;
  while (got < length) {
    const r = readAt(fd.number, addressOf(bytes) + got, length - got);
    if (r > 0) got += r;
    else if (r === 0) throw new SysError(what, fd.name, errno.EPROTO);
    else if (r !== -errno.EAGAIN && r !== -errno.EINTR) throw new SysError(what, fd.name, -r);
    else {
      const leftMs = Math.ceil(deadline - performance.now());
      if (leftMs <= 0) throw new SysError(what, fd.name, errno.ETIMEDOUT);
      waitForInput(fd.number, leftMs);
    }
  }
  return bytes;
}

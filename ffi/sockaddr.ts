// Socket addresses as bytes for the kernel and as text for people.
import { SocketAddress } from "node:net";
import * as k from "./linux/socket.ts";

/** An address as the kernel takes it. `name` is for texts: "127.0.0.1:5000", "unix:/run/x", "vsock:2:5000". */
export interface Sockaddr {
  readonly family: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}

const blank = (size: number) => new Uint8Array(new ArrayBuffer(size));

/** An IPv4 or IPv6 address; `host` is numeric. Throws TypeError where it is neither. */
export function inetAddress(host: string, port: number): Sockaddr {
  if (host.includes(":")) {
    const [address = "", scope = "0"] = host.split("%");
    const bytes = blank(k.sockaddrIn6.size);
    const at = k.sockaddrIn6.over(bytes);
    at.sin6_family = k.AF_INET6;
    at.sin6_addr = ipv6Bytes(address);
    at.sin6_scope_id = Number(scope) >>> 0;
    k.sockaddrPort.over(bytes).sin_port = port;
    return { family: k.AF_INET6, bytes, name: `[${host}]:${port}` };
  }
  const octets = host.split(".").map(Number);
  const valid =
    octets.length === 4 && octets.every((o) => Number.isInteger(o) && o >= 0 && o < 256);
  if (!valid) throw new TypeError(`${JSON.stringify(host)} is not an IP address`);
  const bytes = blank(k.sockaddrIn.size);
  const at = k.sockaddrIn.over(bytes);
  at.sin_family = k.AF_INET;
  at.sin_addr = Uint8Array.from(octets);
  k.sockaddrPort.over(bytes).sin_port = port;
  return { family: k.AF_INET, bytes, name: `${host}:${port}` };
}

/** A Unix socket's path: at most 107 bytes (unix(7)). Throws RangeError beyond. */
export function unixAddress(path: string): Sockaddr {
  const encoded = new TextEncoder().encode(path);
  if (encoded.length < 1 || encoded.length > 107 || encoded.includes(0)) {
    throw new RangeError(`a Unix socket path is 1 to 107 bytes, this one has ${encoded.length}`);
  }
  const bytes = blank(2 + encoded.length + 1);
  bytes.set(encoded, 2);
  new DataView(bytes.buffer).setUint16(0, k.AF_UNIX, true);
  return { family: k.AF_UNIX, bytes, name: `unix:${path}` };
}

/** A vsock address: context id and port, both 32 bits (vsock(7)). */
export function vsockAddress(cid: number, port: number): Sockaddr {
  const bytes = blank(k.sockaddrVm.size);
  const at = k.sockaddrVm.over(bytes);
  at.svm_family = k.AF_VSOCK;
  at.svm_cid = cid;
  at.svm_port = port;
  return { family: k.AF_VSOCK, bytes, name: `vsock:${cid}:${port}` };
}

/** An address the kernel filled in. A family nobody knows, or a short one (unnamed), is said as such. */
export function readSockaddr(filled: Uint8Array<ArrayBuffer>): Sockaddr {
  const bytes = filled.slice();
  const view = new DataView(bytes.buffer);
  const family = bytes.length >= 2 ? view.getUint16(0, true) : 0;
  const port = () => view.getUint16(2);
  let name = `family ${family}`;
  if (family === k.AF_INET && bytes.length >= 8) {
    name = `${bytes.subarray(4, 8).join(".")}:${port()}`;
  } else if (family === k.AF_INET6 && bytes.length >= 24) {
    const mapped = bytes.subarray(8, 20).every((b, i) => b === (i < 10 ? 0 : 0xff));
    const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i).toString(16));
    const text = new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
    name = mapped ? `${bytes.subarray(20, 24).join(".")}:${port()}` : `[${text}]:${port()}`;
  } else if (family === k.AF_VSOCK && bytes.length >= 12) {
    name = `vsock:${view.getUint32(8, true)}:${view.getUint32(4, true)}`;
  } else if (family === k.AF_UNIX) {
    name = "unix";
  }
  return { family, bytes, name };
}

/** The 16 bytes of an IPv6 address in text, mapped IPv4 tails ("::ffff:1.2.3.4") included. */
function ipv6Bytes(text: string): Uint8Array<ArrayBuffer> {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const plain = dotted
    ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : text;
  const [head = "", tail] = plain.split("::");
  const part = (s: string) => (s === "" ? [] : s.split(":").map((g) => Number.parseInt(g, 16)));
  const front = part(head);
  const back = part(tail ?? "");
  const gap = 8 - front.length - back.length;
  const groups = [...front, ...new Array<number>(Math.max(0, gap)).fill(0), ...back];
  const bad = groups.length !== 8 || groups.some((g) => !(g >= 0 && g <= 0xffff));
  if (bad || (tail === undefined && gap !== 0)) {
    throw new TypeError(`${JSON.stringify(text)} is not an IPv6 address`);
  }
  return Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 0xff]));
}

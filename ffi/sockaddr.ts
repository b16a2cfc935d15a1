// Socket addresses as bytes for the kernel and as text for people.
import { addressOf, cString, libc } from "./libc.ts";
import * as k from "./linux/socket.ts";

/** An address in the form of the kernel. `name` is for messages: "127.0.0.1:5000", "unix:/run/x", "vsock:2:5000". */
export interface Sockaddr {
  readonly family: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}

const blank = (size: number) => new Uint8Array(new ArrayBuffer(size));

/** An IPv4 or IPv6 address; `host` is numeric. Throws TypeError for anything else. */
export function inetAddress(host: string, port: number): Sockaddr {
  if (host.includes(":")) {
    const [address = "", scope = "0"] = host.split("%");
    const bytes = blank(k.sockaddrIn6.size);
    const at = k.sockaddrIn6.over(bytes);
    at.sin6_family = k.AF_INET6;
    at.sin6_addr = parseInet(k.AF_INET6, address);
    at.sin6_scope_id = scopeId(scope);
    k.sockaddrPort.over(bytes).sin_port = port;
    return { family: k.AF_INET6, bytes, name: `[${host}]:${port}` };
  }
  const bytes = blank(k.sockaddrIn.size);
  const at = k.sockaddrIn.over(bytes);
  at.sin_family = k.AF_INET;
  at.sin_addr = parseInet(k.AF_INET, host);
  k.sockaddrPort.over(bytes).sin_port = port;
  return { family: k.AF_INET, bytes, name: `${host}:${port}` };
}

/** The path of a Unix socket: 1 to 107 bytes (unix(7)). Throws RangeError. */
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

/** A Unix socket without a file: its name is not in the file system (unix(7), "abstract"). Throws RangeError. */
export function abstractAddress(name: string): Sockaddr {
  const encoded = new TextEncoder().encode(name);
  if (encoded.length < 1 || encoded.length > 107) {
    throw new RangeError(`an abstract name is 1 to 107 bytes, this one has ${encoded.length}`);
  }
  const bytes = blank(3 + encoded.length); // its length ends the name, no NUL does
  bytes.set(encoded, 3);
  new DataView(bytes.buffer).setUint16(0, k.AF_UNIX, true);
  return { family: k.AF_UNIX, bytes, name: `unix:@${name}` };
}

/** A vsock address: context id and port, both 32 bits (vsock(7)). */
export function vsockAddress(cid: number, port: number): Sockaddr {
  const bytes = blank(k.sockaddrVm.size);
  const at = k.sockaddrVm.over(bytes);
  at.svm_family = k.AF_VSOCK;
  at.svm_cid = cid;
  at.svm_port = port;
  return { family: k.AF_VSOCK, bytes, name: vsockName(cid, port) };
}

const vsockName = (cid: number, port: number) =>
  `vsock:${cid === k.VMADDR_CID_ANY ? "any" : cid}:${port}`;

/** An address that the kernel filled in. An unknown family is named by its number, an unnamed socket by its family. */
export function readSockaddr(filled: Uint8Array<ArrayBuffer>): Sockaddr {
  const bytes = filled.slice();
  const view = new DataView(bytes.buffer);
  const family = bytes.length >= 2 ? view.getUint16(0, true) : 0;
  const port = () => view.getUint16(2);
  let name = `family ${family}`;
  if (family === k.AF_INET && bytes.length >= 8) {
    name = `${bytes.subarray(4, 8).join(".")}:${port()}`;
  } else if (family === k.AF_INET6 && bytes.length >= 28) {
    const address = bytes.subarray(8, 24);
    const mapped = address.every((b, i) => i >= 12 || b === (i < 10 ? 0 : 0xff));
    const scope = view.getUint32(24, true);
    const host = formatInet(k.AF_INET6, address) + (scope === 0 ? "" : `%${scope}`);
    name = mapped ? `${address.subarray(12).join(".")}:${port()}` : `[${host}]:${port()}`;
  } else if (family === k.AF_VSOCK && bytes.length >= 12) {
    name = vsockName(view.getUint32(8, true), view.getUint32(4, true));
  } else if (family === k.AF_UNIX) {
    name = "unix";
  }
  return { family, bytes, name };
}

/** The path of a Unix socket's address, "@" and the name of an abstract one; undefined for any other address. */
export function unixPath({ family, bytes }: Sockaddr): string | undefined {
  if (family !== k.AF_UNIX || bytes.length <= 2) return undefined;
  const name = bytes.subarray(2);
  const abstract = name[0] === 0;
  const end = abstract ? -1 : name.indexOf(0);
  const text = new TextDecoder().decode(
    name.subarray(abstract ? 1 : 0, end < 0 ? name.length : end),
  );
  return abstract ? `@${text}` : text;
}

/** The bytes of a numeric address. Throws TypeError if it is not one. */
function parseInet(family: number, text: string): Uint8Array<ArrayBuffer> {
  const bytes = blank(family === k.AF_INET6 ? 16 : 4);
  const source = cString(text);
  if (libc.inet_pton(family, addressOf(source), addressOf(bytes)) === 1) return bytes;
  throw new TypeError(`${JSON.stringify(text)} is not an IP address`);
}

/** The index of an interface, by number or name ("fe80::1%eth0"). Throws TypeError if it does not exist. */
function scopeId(scope: string): number {
  const index = /^\d+$/.test(scope)
    ? Number(scope)
    : libc.if_nametoindex(addressOf(cString(scope)));
  if (index === 0 && scope !== "0") throw new TypeError(`there is no interface "${scope}"`);
  return index;
}

/** A numeric address as text. */
function formatInet(family: number, address: Uint8Array): string {
  const source = new Uint8Array(address).slice();
  const text = blank(64);
  libc.inet_ntop(family, addressOf(source), addressOf(text), text.length);
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

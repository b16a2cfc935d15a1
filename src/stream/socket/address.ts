// Addresses as users write them: IPv4, IPv6, a host name, unix:/path, vsock:CID.
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import type { Fd } from "../../../ffi/fd.ts";
import { VMADDR_CID_ANY } from "../../../ffi/linux/socket.ts";
import { inetAddress, type Sockaddr, unixAddress, vsockAddress } from "../../../ffi/sockaddr.ts";
import type { SocketAccess } from "../../../ffi/socket-access.ts";
import { UnavailableError, UsageError } from "../../errors.ts";
import type { Loop } from "../../loop.ts";

/** A parsed address. Host names are looked up when it is used. */
export interface Address {
  readonly text: string;
  readonly kind: "inet" | "name" | "unix" | "vsock";
  /** Path of a Unix socket that is made there. */
  readonly path?: string;
  /** Who may connect to it; otherwise the umask decides. */
  readonly access?: SocketAccess | undefined;
  /** A socket that listens there already. Its path belongs to another program. */
  readonly socket?: Fd;
  resolve(): Promise<readonly Sockaddr[]>;
}

/**
 * Parses `text`, with the port of --port or in the address. `option` is for the error text. `several`: --port is for those of
 * several addresses that name no port. Throws UsageError.
 */
export function parseAddress(
  option: string,
  text: string,
  given: number | undefined,
  several = false,
): Address {
  const fixed = (kind: Address["kind"], make: () => Sockaddr, path?: string): Address => {
    try {
      const address = make();
      return { text: address.name, kind, resolve: async () => [address], ...(path && { path }) };
    } catch (error) {
      throw new UsageError(`${option} ${text}: ${(error as Error).message}`);
    }
  };
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return fixed("unix", () => unixAddress(path), path);
  }
  const { host, port } = splitPort(option, text, given, several);
  if (host.startsWith("vsock:")) {
    const cid = vsockCid(option, host.slice("vsock:".length));
    return fixed("vsock", () => vsockAddress(cid, port));
  }
  if (isIP(host.split("%")[0] ?? "") !== 0) {
    if (/^fe[89ab].:[^%]*$/i.test(host)) {
      throw new UsageError(
        `${option} ${text}: a link-local address needs its interface: ${host}%eth0 for example (ip link lists them)`,
      );
    }
    return fixed("inet", () => inetAddress(host, port));
  }
  if (!/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(host)) {
    throw noAddress(option, text);
  }
  return { text: `${host}:${port}`, kind: "name", resolve: () => lookUp(host, port) };
}

const noAddress = (option: string, text: string) =>
  new UsageError(
    `${option} must be an IP address, a host name, unix:/path or vsock:CID, got "${text}"`,
  );

/** Splits "host:port", "[v6]:port" or "vsock:CID:port"; without a port in it, `given` is the port. Throws UsageError. */
function splitPort(option: string, text: string, given: number | undefined, several: boolean) {
  const bare = /^\[(.*)\]$/.exec(text)?.[1];
  const parts = /^(?:\[(.*)\]|((?:vsock:)?[^:]+)):([^:]*)$/.exec(text);
  const bound = parts !== null && !/^vsock:[^:]*$/.test(text) ? parts : undefined;
  if (bound === undefined) {
    if (given !== undefined) return { host: bare ?? text, port: given };
    const colons = text.includes(":") && !text.startsWith("vsock:");
    const v6 = bare ?? text;
    if (colons && isIP(v6.split("%")[0] ?? "") === 0) throw noAddress(option, text);
    const example = colons ? `[${v6}]` : text;
    throw new UsageError(`--port is required (1 to 65535), or ${option} ${example}:5000`);
  }
  const [, v6, other, digits = ""] = bound;
  const port = Number(digits);
  if (!/^\d+$/.test(digits) || port < 1 || port > 65_535) {
    throw new UsageError(`${option} ${text}: the port must be 1 to 65535, got "${digits}"`);
  }
  if (given !== undefined && given !== port && !several) {
    throw new UsageError(`${option} ${text} and --port ${given} name two ports; give one`);
  }
  return { host: v6 ?? other ?? "", port };
}

function vsockCid(option: string, text: string): number {
  if (text === "any" || text === "-1") return VMADDR_CID_ANY;
  const cid = Number(text);
  if (!/^\d+$/.test(text) || cid > 0xffff_ffff) {
    throw new UsageError(
      `${option} vsock:CID needs a context id of 0 to 4294967295 or "any", got "${text}"`,
    );
  }
  return cid;
}

async function lookUp(host: string, port: number): Promise<Sockaddr[]> {
  try {
    const found = await lookup(host, { all: true });
    return found.map(({ address }) => inetAddress(address, port));
  } catch (error) {
    const code = (error as { code?: string }).code ?? "no answer";
    throw new UnavailableError(`lookup ${host}: ${code}; check the name or use an IP address`);
  }
}

/** The socket addresses of `address`; none when `signal` aborts before a name server has answered. Throws UnavailableError. */
export async function resolveUnless(
  loop: Loop,
  address: Address,
  signal: AbortSignal,
): Promise<readonly Sockaddr[]> {
  using _limit = loop.limitWaits(); // the runtime asks name servers again on timers of its own
  const { promise, resolve, reject } = loop.promise<readonly Sockaddr[]>();
  const abort = () => resolve([]);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  address.resolve().then(resolve, reject);
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** A test whether a peer may connect. Throws UsageError for text that is no IP address or CIDR block. */
export function allowList(blocks: readonly string[]): (peer: string) => boolean {
  if (blocks.length === 0) return () => true;
  const list = new BlockList();
  for (const block of blocks) {
    const [address = "", prefix, ...rest] = block.split("/");
    const family = isIP(address);
    const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix);
    const most = family === 6 ? 128 : 32;
    const numeric = prefix === undefined || /^\d+$/.test(prefix);
    if (family === 0 || rest.length > 0 || !numeric || bits > most) {
      throw new UsageError(
        `--allow must be an IP address or CIDR block like 10.0.0.0/8, got "${block}"`,
      );
    }
    list.addSubnet(address, bits, family === 6 ? "ipv6" : "ipv4");
  }
  return (peer) => {
    const host = /^\[(.*)\]:\d+$/.exec(peer)?.[1] ?? peer.replace(/:\d+$/, "");
    const family = isIP(host);
    return family !== 0 && list.check(host, family === 6 ? "ipv6" : "ipv4");
  };
}

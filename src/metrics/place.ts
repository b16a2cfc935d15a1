// Where --metrics listens: an address of this host or a Unix socket; the loopback address unless one is given.
import { isIP } from "node:net";
import type { Sockaddr } from "../../ffi/sockaddr.ts";
import { UnavailableError, UsageError } from "../errors.ts";
import type { Loop } from "../loop.ts";
import { type Address, parseAddress, resolveUnless } from "../stream/socket/address.ts";
import { removeStale } from "../stream/socket/listener.ts";
import type { Place } from "./messages.ts";

const LOOPBACK = "127.0.0.1";

/** The address in `text`: PORT, :PORT, ADDRESS:PORT or unix:PATH. Throws UsageError. */
export function parsePlace(text: string): Address {
  const port = /^:?(\d+)$/.exec(text)?.[1];
  const whole = port === undefined ? text : `${LOOPBACK}:${port}`;
  const hasPort = /^(?:\[.*\]|[^:]+):[^:]*$/.test(whole);
  if (whole.startsWith("vsock:") || !(hasPort || whole.startsWith("unix:"))) {
    throw new UsageError(
      `--metrics must be PORT, ADDRESS:PORT or unix:PATH, for example 9100, got "${text}"`,
    );
  }
  return parseAddress("--metrics", whole, undefined);
}

/**
 * The place of an address for the server. A Unix socket without a listening program is removed. Undefined when `signal` aborts
 * before a name server has answered. Throws UnavailableError.
 */
export async function findPlace(
  loop: Loop,
  address: Address,
  signal: AbortSignal,
): Promise<Place | undefined> {
  const [at] = await resolveUnless(loop, address, signal);
  if (signal.aborted) return undefined;
  if (at === undefined) throw new UnavailableError(`${address.text}: the name has no address`);
  const { path } = address;
  if (path === undefined) {
    const name = address.kind === "name" ? { name: address.text.replace(/:\d+$/, "") } : {};
    return { ...inetPlace(at), ...name };
  }
  removeStale(path, at);
  return { path };
}

function inetPlace({ name }: Sockaddr) {
  const [, v6, v4 = "", port] = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(name) ?? [];
  const host = v6 ?? v4;
  return { host, port: Number(port), loopback: isLoopback(host) };
}

/** Whether an address is reached from this host only. */
export const isLoopback = (host: string): boolean =>
  isIP(host) === 4 ? host.startsWith("127.") : /^(?:::1|::ffff:127\..*)$/i.test(host);

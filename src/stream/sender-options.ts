// What the command lines of both senders share: option rows, and their values for feed.ts.
import type { Options, Values } from "../cli/options.ts";
import { realtimeOptions } from "../cli/realtime.ts";
import { UsageError } from "../errors.ts";
import type { FeedOptions } from "./feed.ts";
import { type Address, parseAddress } from "./socket/address.ts";
import { addressOptions, frameLimit, statsOptions } from "./stream-options.ts";
import type { Opened } from "./supply.ts";

/** The rows that follow those of capture and of the tool itself. */
export const senderOptions = {
  reconnect: {
    type: "flag",
    group: "connection",
    help: "connect again if the connection is refused or lost",
  },
  ...statsOptions,
  ...realtimeOptions,
} as const satisfies Options;

const rows = { ...addressOptions.connect, ...senderOptions };
type SenderValues = Omit<Values<typeof rows>, "given"> & { readonly frames: number | undefined };

/** Where to connect to, and what to report. Throws UsageError. */
export function readSenderOptions(
  values: SenderValues,
): Omit<FeedOptions<Opened>, "open" | "send" | "summary"> {
  const { port, reconnect, stats, json } = values;
  return {
    addresses: parseAddresses(values.address, port),
    connectTimeoutMs: values["connect-timeout"],
    stallMs: values["stall-timeout"] * 1000,
    reconnect,
    frames: frameLimit(values.frames),
    stats,
    json,
  };
}

/** The receivers; `port` is the port of those that name none. Throws UsageError. */
function parseAddresses(texts: readonly string[], port: number | undefined): Address[] {
  const several = texts.length > 1;
  const addresses = texts.map((text) => parseAddress("--address", text, port, several));
  const names = addresses.map(({ text }) => text);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`--address ${twice} is given twice`);
  return addresses;
}

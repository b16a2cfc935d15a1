// What the command lines of both senders share: option rows, and their values for feed.ts.
import type { Options, Values } from "../cli/options.ts";
import type { FeedOptions, Opened } from "./feed.ts";
import { parseAddress } from "./socket/address.ts";
import { addressOptions, frameLimit, statsOptions } from "./stream-options.ts";

/** The rows that follow those of capture and of the tool itself. */
export const senderOptions = {
  reconnect: { type: "flag", help: "connect again if the connection is refused or lost" },
  ...statsOptions,
} as const satisfies Options;

const rows = { ...addressOptions.connect, ...senderOptions };
type SenderValues = Omit<Values<typeof rows>, "given"> & { readonly frames: number | undefined };

/** Where to connect to, and what to report. Throws UsageError. */
export function readSenderOptions(
  values: SenderValues,
): Omit<FeedOptions<Opened>, "open" | "send" | "summary"> {
  const { port, reconnect, stats, json } = values;
  const address = parseAddress("--address", values.address, port);
  return {
    address,
    connectTimeoutMs: values["connect-timeout"],
    stallMs: values["stall-timeout"] * 1000,
    reconnect,
    frames: frameLimit(values.frames),
    stats,
    json,
  };
}

// Option rows that senders and receivers share.
import { inGroup } from "../cli/groups.ts";
import type { Options } from "../cli/options.ts";
import { accessOptions } from "./socket/access.ts";

const port = {
  short: "p",
  type: "integer",
  min: 1,
  max: 65535,
  help: "TCP or vsock port",
} as const;

const stallTimeout = {
  type: "number",
  min: 0,
  max: 86_400,
  value: "SECONDS",
} as const;

/** Where to connect to, and where to listen. */
export const addressOptions = {
  connect: inGroup("connection", {
    address: {
      short: "a",
      type: "list",
      required: true,
      value: "ADDRESS",
      help: "receiver: IPv4, IPv6, host name or vsock:CID, with --port or as HOST:PORT; or unix:/path; may be repeated",
    },
    port,
    "connect-timeout": {
      short: "t",
      type: "integer",
      min: 1,
      max: 3_600_000,
      default: 3000,
      value: "MS",
      help: "most milliseconds a connection attempt may take",
    },
    "stall-timeout": {
      ...stallTimeout,
      default: 0,
      help: "end the connection when the receiver takes nothing for that long; 0 waits for a paused receiver",
    },
  }),
  listen: inGroup("connection", {
    listen: {
      short: "l",
      type: "text",
      default: "0.0.0.0",
      value: "ADDRESS",
      help: "IPv4, IPv6, host name, vsock:CID or vsock:any, with --port or as HOST:PORT; or unix:/path",
    },
    port,
    allow: {
      type: "list",
      value: "CIDR",
      help: "accept senders from these addresses only, 10.0.0.0/8 for example; may be repeated",
    },
    ...accessOptions,
    "stall-timeout": {
      ...stallTimeout,
      default: 10,
      help: "end the connection when no byte comes for that long in the middle of a message; 0 waits for ever",
    },
    keep: { type: "flag", help: "serve the next sender when one has left" },
  }),
} as const satisfies Record<string, Options>;

/** The meaning of -n, on both sides: a negative number is no limit, as in the C programs. */
export const frameLimit = (frames: number | undefined): number | undefined =>
  frames === undefined || frames < 0 ? undefined : frames;

/** What to report about a running stream, and how. */
export const statsOptions = inGroup("reports", {
  stats: {
    type: "number",
    min: 0,
    max: 86_400,
    default: 1,
    value: "SECONDS",
    help: "seconds between statistics lines; 0 prints only the summary",
  },
  json: {
    type: "flag",
    help: "one JSON object per record on stdout: listening, started, stats, failure, stopped",
  },
  metrics: {
    type: "text",
    value: "ADDRESS:PORT",
    help: "serve figures for Prometheus and a page for browsers there; PORT alone is for this host only; or unix:/path",
  },
} as const satisfies Options);

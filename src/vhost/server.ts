// Serves front-ends one after the other, each with a connection and a device of its own.
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import type { Loop } from "../loop.ts";
import { Connection } from "./connection.ts";
import type { MakeDevice } from "./queues.ts";
import type { QueueCounts } from "./ring-host.ts";

/**
 * The document of --print-capabilities for management software; `features` are the codecs that can be chosen. vhost-user,
 * "Backend program conventions".
 */
export function capabilities(features: readonly string[]): string {
  return JSON.stringify({ type: "video", features });
}

export interface ServeOptions {
  /** The socket of the next front-end; undefined when no more will come. */
  readonly next: (signal: AbortSignal) => Promise<Fd | undefined>;
  readonly makeDevice: MakeDevice;
  /** Ends after the first front-end. */
  readonly once: boolean;
  /** Called for each front-end, with the counters that its connection updates. */
  readonly onFrontEnd?: ((counts: Readonly<QueueCounts>) => void) | undefined;
}

/** Serves front-ends until `signal` aborts or there are no more. */
export async function serve(loop: Loop, options: ServeOptions, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = loop.promise<"aborted">();
  signal.addEventListener("abort", () => resolve("aborted"), { once: true });
  for (;;) {
    const socket = await options.next(signal);
    if (socket === undefined) return;
    if (signal.aborted) resolve("aborted");
    const end = await serveOne(loop, socket, options, aborted);
    if (end === "aborted" || options.once) return;
  }
}

async function serveOne(
  loop: Loop,
  socket: Fd,
  { makeDevice, onFrontEnd }: ServeOptions,
  aborted: Promise<"aborted">,
): Promise<"aborted" | "left"> {
  const out = log.withTag("vhost");
  using owned = new DisposableStack();
  let connection: Connection;
  try {
    connection = owned.use(new Connection(loop, socket, makeDevice));
  } catch (error) {
    out.error(`the front-end cannot be served: ${(error as Error).message}`);
    return "left";
  }
  out.info("a front-end has connected");
  onFrontEnd?.(connection.session.queues.counts);
  const end = await Promise.race([connection.over, aborted]);
  if (end === "aborted") return "aborted";
  const { requests, malformed } = connection.session.queues.counts;
  const done = `${requests} requests${malformed > 0 ? `, ${malformed} malformed` : ""}`;
  if (end === "left") out.info(`the front-end has left after ${done}`);
  else out.warn(`the connection was closed after ${done}: ${end.message}`);
  return "left";
}

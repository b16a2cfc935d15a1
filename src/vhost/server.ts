// Serves one front-end in this process, with a connection and a device of its own.
import type { Fd } from "../../ffi/fd.ts";
import { counted } from "../cli/counted.ts";
import { log } from "../cli/log.ts";
import type { Loop } from "../loop.ts";
import { Connection } from "./connection.ts";
import type { QueueCounts } from "./counts.ts";
import type { MakeDevice } from "./queues.ts";

/** The decoder that is used with these options, and the names of its coded formats. */
export interface FoundCodec {
  readonly backend: string;
  readonly formats: readonly string[];
}

/**
 * The document of --print-capabilities for management software; `features` are the codecs that can be chosen. vhost-user,
 * "Backend program conventions". `backend` and `formats` are an addition.
 */
export function capabilities(features: readonly string[], found?: FoundCodec): string {
  return JSON.stringify({ type: "video", features, ...found });
}

/** The same document of a camera, which has no features to choose. */
export const cameraCapabilities = (): string => JSON.stringify({ type: "media", features: [] });

export interface ServeOptions {
  readonly makeDevice: MakeDevice;
  /** The counters that the connection updates. */
  readonly counts: QueueCounts;
}

/** Serves the front-end on `socket`, which it owns, until it leaves or `signal` aborts. */
export async function serveFrontEnd(
  loop: Loop,
  socket: Fd,
  { makeDevice, counts }: ServeOptions,
  signal: AbortSignal,
): Promise<void> {
  const out = log.withTag("vhost");
  const { promise: aborted, resolve } = loop.promise<"aborted">();
  const abort = () => resolve("aborted");
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  using owned = new DisposableStack();
  owned.defer(() => signal.removeEventListener("abort", abort));
  let connection: Connection;
  try {
    connection = owned.use(new Connection(loop, socket, makeDevice, counts));
  } catch (error) {
    out.error(`the front-end cannot be served: ${(error as Error).message}`);
    return;
  }
  out.info("a front-end has connected");
  const end = await Promise.race([connection.over, aborted]);
  if (end === "aborted") return;
  const { requests, malformed } = counts;
  const done = `${counted(requests, "request")}${malformed > 0 ? `, ${malformed} malformed` : ""}`;
  if (end === "left") out.info(`the front-end has left after ${done}`);
  else out.warn(`the connection was closed after ${done}: ${end.message}`);
}

// The stream of a sender as the camera of vhost-user-media: a receiver of one sender after the other, for as long as a guest is served.
import { resolve } from "node:path";
import { inGroup } from "../src/cli/groups.ts";
import { log } from "../src/cli/log.ts";
import type { Options, Values } from "../src/cli/options.ts";
import type { Context } from "../src/cli/tool.ts";
import { isExpected, UsageError } from "../src/errors.ts";
import { memfdAllocator } from "../src/frame/memory.ts";
import type { Loop } from "../src/loop.ts";
import { madeOffers } from "../src/media/made-offers.ts";
import { StreamSource } from "../src/media/stream-source.ts";
import { importDescriptors } from "../src/share/fd.ts";
import { MemoryTarget } from "../src/stream/copy/memory-target.ts";
import { receiveFrames } from "../src/stream/copy/receive.ts";
import { receiverOptions } from "../src/stream/receiver-options.ts";
import { serveSenders } from "../src/stream/serve.ts";
import type { ServeRun } from "../src/stream/serve-connection.ts";
import { allowList, parseAddress } from "../src/stream/socket/address.ts";
import { addressOptions } from "../src/stream/stream-options.ts";
import { borrowFrames } from "../src/stream/zero-copy/borrow.ts";
import { openConsumer } from "../src/stream/zero-copy/view-target.ts";
import { warmUp } from "../src/stream/zero-copy/warm-up.ts";
import { offered } from "./media-source.ts";

/** Where senders come from. */
export const mediaStreamOptions = inGroup("connection", {
  listen: {
    short: "l",
    type: "text",
    value: "ADDRESS",
    help: "instead of --device: show the stream of a sender that connects here: IPv4, IPv6, host name, vsock:CID or vsock:any, with --port or as HOST:PORT; or unix:/path",
  },
  port: addressOptions.listen.port,
  allow: addressOptions.listen.allow,
  "stall-timeout": addressOptions.listen["stall-timeout"],
  "max-frame": receiverOptions["max-frame"],
  "zero-copy": {
    type: "flag",
    help: "senders are sender_zc on this host, whose buffers are read in place; needs --listen unix:/path",
  },
}) satisfies Options;

export type MediaStreamOptions = Omit<Values<typeof mediaStreamOptions>, "given">;

/** Whether the camera shows the stream of a sender. Throws UsageError when a device is named as well. */
export function wantsStream(
  values: MediaStreamOptions & { readonly given: ReadonlySet<string> },
): boolean {
  const { given, listen, port } = values;
  const wanted = listen !== undefined || port !== undefined;
  if (wanted && given.has("device"))
    throw new UsageError("--device and --listen name two sources: give one of them");
  const only = ["allow", "stall-timeout", "max-frame", "zero-copy"].find((name) => given.has(name));
  if (!wanted && only !== undefined)
    throw new UsageError(`--${only} is for the stream of a sender: it needs --listen or --port`);
  return wanted;
}

/** A source, and the receiver that feeds it. */
export interface MediaStream {
  readonly source: StreamSource;
  /** The options that choose the same stream. */
  readonly words: readonly string[];
  /** Receives until `serving`, which serves a guest, has ended. A failure costs the guest only the pictures, and is tried again. */
  whileServing(context: Pick<Context, "loop" | "signal">, serving: Promise<void>): Promise<void>;
}

/** Between two attempts to listen. */
const RETRY_MS = 1000;

/** No lines of statistics: those of the device say what guests get. */
const quiet = { stats: 0, json: false };

/** Reads where senders come from. Throws UsageError. */
export function openMediaStream(
  options: MediaStreamOptions,
  formats: readonly string[] | undefined,
): MediaStream {
  const listen = fromAnywhere(options.listen ?? addressOptions.listen.listen.default);
  const address = parseAddress("--listen", listen, options.port);
  if (options["zero-copy"] && address.kind !== "unix")
    throw new UsageError("--zero-copy needs --listen unix:/path: descriptors pass no other socket");
  const maxFrame = options["max-frame"];
  const offers = offered(madeOffers(), formats, "a sender's stream");
  const source = new StreamSource({ name: address.text, offers, maxFrame });
  const words = [
    ...["--listen", listen, ...(options.port === undefined ? [] : ["--port", `${options.port}`])],
    ...options.allow.flatMap((range) => ["--allow", range]),
    ...["--stall-timeout", `${options["stall-timeout"]}`, "--max-frame", `${maxFrame}`],
    ...(options["zero-copy"] ? ["--zero-copy"] : []),
  ];
  const receive = async (loop: Loop, signal: AbortSignal) => {
    using importer = options["zero-copy"] ? importDescriptors() : undefined;
    const consumer = { output: source };
    await serveSenders(
      loop,
      {
        ...quiet,
        address,
        allowed: allowList(options.allow),
        keep: true,
        stallMs: options["stall-timeout"] * 1000,
        receive: (run: ServeRun) =>
          importer === undefined
            ? receiveFrames({
                ...run,
                maxFrame,
                openTarget: (stream, waiting) =>
                  new MemoryTarget(stream, { ...consumer, allocator: memfdAllocator }, waiting),
              })
            : borrowFrames({
                ...run,
                maxFrame,
                importers: [importer],
                openView: openConsumer(consumer),
              }),
        prepare: async (stop) => {
          if (importer !== undefined) await warmUp(loop, importDescriptors(), false, stop);
        },
      },
      signal,
    );
  };
  return {
    source,
    words,
    async whileServing({ loop, signal }, serving) {
      const served = new AbortController();
      const stop = AbortSignal.any([signal, served.signal]);
      const receiving = untilStopped(loop, stop, () => receive(loop, stop));
      await Promise.all([serving.finally(() => served.abort()), receiving]);
    },
  };
}

/**
 * Receives again after each failure: the address may be in use by the process of a guest that has just ended, or the host may be out of
 * memory for a while. A defect is thrown.
 */
async function untilStopped(
  loop: Loop,
  stop: AbortSignal,
  receive: () => Promise<void>,
): Promise<void> {
  let said = "";
  while (!stop.aborted) {
    try {
      return await receive();
    } catch (error) {
      if (!isExpected(error)) throw error;
      const { message } = error;
      if (message !== said)
        log.error(`${message}; the guest sees a stand-by picture, trying again`);
      said = message;
      await loop.sleep(RETRY_MS, stop);
    }
  }
}

/** A path in the current folder works in the process of a front-end, too, which runs in "/". */
const fromAnywhere = (listen: string) =>
  listen.startsWith("unix:") ? `unix:${resolve(listen.slice("unix:".length))}` : listen;

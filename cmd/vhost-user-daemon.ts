// What the vhost-user daemons share: where front-ends come from, and a process for each of them.
import { SysError } from "../ffi/errno.ts";
import type { Fd } from "../ffi/fd.ts";
import { dieOfMemoryFaults } from "../ffi/process.ts";
import { type InheritedSocket, inheritedSocket } from "../ffi/socket.ts";
import { inGroup } from "../src/cli/groups.ts";
import { log } from "../src/cli/log.ts";
import type { Options } from "../src/cli/options.ts";
import type { OwnProgram } from "../src/cli/own-program.ts";
import { realtimeOptions } from "../src/cli/realtime.ts";
import { service } from "../src/cli/service.ts";
import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import type { Context } from "../src/cli/tool.ts";
import { UnavailableError, UsageError } from "../src/errors.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { type AccessValues, accessOption, accessOptions } from "../src/stream/socket/access.ts";
import { type Address, parseAddress } from "../src/stream/socket/address.ts";
import { listenAddress } from "../src/stream/socket/listen-address.ts";
import { Listener } from "../src/stream/socket/listener.ts";
import { statsOptions } from "../src/stream/stream-options.ts";
import { noCounts } from "../src/vhost/counts.ts";
import { type ChildOf, childOfListener } from "../src/vhost/front-end-child.ts";
import { serveFrontEnds } from "../src/vhost/front-end-process.ts";
import type { MakeDevice } from "../src/vhost/queues.ts";
import { RingStats, type RingStatsOptions } from "../src/vhost/ring-stats.ts";
import { serveFrontEnd } from "../src/vhost/server.ts";
import type { DryRun } from "../src/vhost/warm-up.ts";

const LARGEST_FD = 0x7fff_ffff;
const ONE_PLACE = "exactly one of --socket-path and --fd";
const WANTED = "it must be a Unix stream socket that listens or is connected";

/** Where front-ends come from. */
export const frontEndOptions = inGroup("connection", {
  "socket-path": {
    short: "s",
    type: "text",
    value: "PATH",
    completes: { files: "all" },
    help: "Unix socket to listen on",
  },
  fd: {
    type: "integer",
    min: 0,
    max: LARGEST_FD,
    help: "number of an inherited Unix socket: a listening one, or one with a front-end",
  },
  ...accessOptions,
  once: { type: "flag", help: "end when the first front-end disconnects" },
}) satisfies Options;

export const daemonStatsOptions = {
  ...statsOptions,
  stats: { ...statsOptions.stats, default: 0 },
  ...realtimeOptions,
} as const satisfies Options;

export const frontEndVariables = [...listenVariables, ...notifyVariables];

interface Place {
  readonly fd: number | undefined;
  readonly "socket-path": string | undefined;
}

/** An inherited socket, or an address to listen on. */
export interface FrontEndPlace {
  readonly inherited?: Pick<InheritedSocket, "socket" | "listening">;
  readonly address?: Address;
  /** In the process of one front-end. */
  readonly child?: ChildOf;
}

/**
 * Reads the options; `owned` gets the socket. In the process of a front-end, which a listener has started: warms up with `dry`
 * and waits for the front-end; undefined when the listener ends before. Throws UsageError, UnavailableError.
 */
export async function frontEndPlace(
  { loop, signal }: Context,
  values: AccessValues & Place,
  owned: DisposableStack,
  dry?: DryRun,
): Promise<FrontEndPlace | undefined> {
  const child = childOfListener(loop);
  if (child !== undefined) {
    owned.use(child);
    const socket = await child.frontEnd(dry, signal);
    if (socket === undefined) return undefined;
    owned.use(socket);
    return { inherited: { socket, listening: false }, child };
  }
  const place = whereFrom(values);
  const socket = place.inherited?.socket ?? place.address?.socket;
  if (socket !== undefined) owned.use(socket);
  return place;
}

function whereFrom(values: AccessValues & Place): FrontEndPlace {
  const { fd, "socket-path": path } = values;
  const restricted = accessOption(values);
  if (fd !== undefined) {
    if (path !== undefined) throw new UsageError(`${ONE_PLACE}, not both`);
    if (restricted !== undefined)
      throw new UsageError(`--${restricted} is for a socket of --socket-path, not of --fd`);
    return { inherited: frontEndSocket(fd) };
  }
  const address = listenAddress({
    kinds: ["unix"],
    given: path === undefined ? [] : ["--socket-path"],
    access: values,
    parse: () => {
      if (path === undefined) throw new UsageError(`${ONE_PLACE} is needed`);
      return parseAddress("--socket-path", `unix:${path}`, undefined);
    },
  });
  return { address };
}

/** The inherited socket of --fd: a listening one, or one with a front-end. Throws UsageError, UnavailableError. */
function frontEndSocket(fd: number): InheritedSocket {
  const inherited = inheritedSocketAt(fd);
  const { unix, stream, listening, connected } = inherited;
  if (!unix) throw new UsageError(`--fd ${fd} is no Unix socket, ${WANTED}`);
  if (!stream) throw new UsageError(`--fd ${fd} is no stream socket, ${WANTED}`);
  if (!listening && !connected) {
    throw new UsageError(`--fd ${fd} neither listens nor is connected, ${WANTED}`);
  }
  return inherited;
}

function inheritedSocketAt(fd: number): InheritedSocket {
  try {
    return inheritedSocket(fd);
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    if (error.code === "ENOTSOCK") throw new UsageError(`--fd ${fd} is no socket, ${WANTED}`);
    throw new UnavailableError(`${error.message}; --fd must be the number of an open socket`);
  }
}

/** What a daemon serves. */
export interface Daemon {
  readonly program: OwnProgram;
  /** The options that choose the same device, for the process of a front-end. */
  readonly words: readonly string[];
  /** Fields of the `started` record. */
  readonly about: Readonly<Record<string, unknown>>;
  readonly makeDevice: MakeDevice;
  /** The process of the next front-end is started before it comes, so that it can warm up. */
  readonly ahead: boolean;
  /** Called when this process only listens: closes what the processes of front-ends open for themselves. */
  release(): void;
}

interface ServeOptions extends Place, Omit<RingStatsOptions, "metrics"> {
  readonly once: boolean;
  readonly realtime: boolean;
  readonly metrics: string | undefined;
}

/** The figures of --metrics have no pictures: those are in the guest. */
const looksOf = ({ program }: Daemon) => ({ tool: program.name, pictures: false });

/** Serves front-ends, one after the other, until the signal aborts or there are no more. */
export async function serveDaemon(
  context: Context,
  place: FrontEndPlace,
  daemon: Daemon,
  values: ServeOptions,
): Promise<void> {
  const { loop, signal } = context;
  const { inherited, address, child } = place;
  using owned = new DisposableStack();
  dieOfMemoryFaults();
  if (inherited?.listening === false) {
    await serveOne(inherited, daemon, values, context, child);
    return;
  }
  daemon.release();
  const metrics = owned.use(await openMetrics(loop, values.metrics, looksOf(daemon), signal));
  const listener =
    address === undefined
      ? inherited && Listener.inherited(loop, inherited.socket)
      : await Listener.open(loop, address, () => true, signal);
  if (listener === undefined) return;
  owned.use(listener);
  const { "socket-path": path = listener.name } = values;
  log.info(`listening on ${values.fd === undefined ? path : `descriptor ${values.fd}`}`);
  const stats = owned.use(new RingStats(loop, { ...values, metrics }, daemon.about));
  stats.listening(listener.name);
  await serveFrontEnds(
    loop,
    {
      next: async (signal) => {
        stats.waiting();
        return (await listener.next(signal))?.socket;
      },
      program: daemon.program,
      options: [...daemon.words, ...(values.realtime ? ["--realtime"] : [])],
      ahead: daemon.ahead,
      once: values.once,
      onFrontEnd: (counts) => stats.follow(counts),
      onFailure: (fields) => stats.failure(fields),
    },
    signal,
  );
  stats.finish();
}

/** Serves a front-end in this process, which may be a child of a listener: then that has the statistics. */
async function serveOne(
  { socket }: { readonly socket: Fd },
  daemon: Daemon,
  values: ServeOptions,
  { loop, signal }: Context,
  child?: ChildOf,
): Promise<void> {
  using owned = new DisposableStack();
  const { makeDevice, about } = daemon;
  if (child !== undefined) {
    const ended = AbortSignal.any([signal, child.signal]);
    await serveFrontEnd(loop, socket, { makeDevice, counts: child.counts }, ended);
    return;
  }
  const metrics = owned.use(await openMetrics(loop, values.metrics, looksOf(daemon), signal));
  const stats = owned.use(new RingStats(loop, { ...values, metrics }, about));
  const counts = noCounts();
  using _front = stats.follow(counts);
  service.ready();
  await serveFrontEnd(loop, socket, { makeDevice, counts }, signal);
  stats.finish();
}

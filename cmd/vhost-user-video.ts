// vhost-user-video: serves a virtio-video decoder to a virtual machine monitor.
import { SysError } from "../ffi/errno.ts";
import type { Fd } from "../ffi/fd.ts";
import { dieOfMemoryFaults } from "../ffi/process.ts";
import { type InheritedSocket, inheritedSocket } from "../ffi/socket.ts";
import { inGroup } from "../src/cli/groups.ts";
import { log } from "../src/cli/log.ts";
import { ownProgram } from "../src/cli/own-program.ts";
import { service } from "../src/cli/service.ts";
import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import { printOut } from "../src/cli/stdout.ts";
import { type Context, defineTool, runMain } from "../src/cli/tool.ts";
import { UnavailableError, UsageError } from "../src/errors.ts";
import { type AccessValues, accessOption, accessOptions } from "../src/stream/socket/access.ts";
import { type Address, parseAddress } from "../src/stream/socket/address.ts";
import { listenAddress } from "../src/stream/socket/listen-address.ts";
import { Listener } from "../src/stream/socket/listener.ts";
import { statsOptions } from "../src/stream/stream-options.ts";
import { noCounts } from "../src/vhost/counts.ts";
import { childOfListener } from "../src/vhost/front-end-child.ts";
import { serveFrontEnds } from "../src/vhost/front-end-process.ts";
import type { MakeDevice } from "../src/vhost/queues.ts";
import { RingStats, type RingStatsOptions } from "../src/vhost/ring-stats.ts";
import { capabilities, type FoundCodec, serveFrontEnd } from "../src/vhost/server.ts";
import type { CodecBackend } from "../src/video/codec/codec.ts";
import {
  backendNames,
  type ChosenCodec,
  codecOptions,
  readCodecOptions,
} from "../src/video/codec/codec-options.ts";
import { decodeForDaemon } from "../src/video/codec/libavcodec/decoder-child.ts";
import { avLibraries } from "../src/video/codec/libavcodec/libraries.ts";
import { formatNames } from "../src/video/codec/offered.ts";
import { createVideoDevice } from "../src/video/video-device.ts";
import { toolRow } from "./tool-rows.ts";

const LARGEST_FD = 0x7fff_ffff;
const ONE_PLACE = "exactly one of --socket-path and --fd";
const WANTED = "it must be a Unix stream socket that listens or is connected";

interface Place {
  readonly fd: number | undefined;
  readonly "socket-path": string | undefined;
}

export const vhostUserVideo = defineTool({
  ...toolRow("vhost-user-video"),
  examples: [
    {
      does: "serve the first decoder that is here",
      line: "vhost-user-video -s /run/video.sock",
    },
    {
      does: "decode only H264 and VP9, with libavcodec",
      line: "vhost-user-video -s /run/video.sock -b libavcodec --formats H264,VP9",
    },
    { does: "show what this machine can offer", line: "vhost-user-video --print-capabilities" },
  ],
  files: [
    { word: "/dev/video*", meaning: "decoders of the kernel, for --backend v4l2-decoder" },
    { word: "/dev/udmabuf", meaning: "lets a decoder write into the memory of the guest" },
  ],
  environment: [
    { word: "LD_LIBRARY_PATH", meaning: "where libavcodec is looked for first" },
    ...listenVariables,
    ...notifyVariables,
  ],
  options: {
    ...inGroup("connection", {
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
    }),
    ...codecOptions,
    ...inGroup("decoder", {
      "max-streams": {
        type: "integer",
        min: 1,
        max: 1024,
        default: 64,
        help: "most streams a guest may have at the same time",
      },
      "print-capabilities": {
        type: "flag",
        help: "print the capabilities of this back-end as JSON, with the formats it has found, and end",
      },
    }),
    verbose: {
      type: "flag",
      group: "general",
      help: "with --version: name the libraries in use and their licences",
    },
    ...statsOptions,
    stats: { ...statsOptions.stats, default: 0 },
  },
  libraries: avLibraries,
  async run(values, { loop, signal }) {
    if (decodeForDaemon()) return "done"; // this is the process of one stream's decoder
    const program = ownProgram("vhost-user-video");
    const chosen = readCodecOptions(values, program);
    if (values["print-capabilities"]) {
      await printOut(capabilities(backendNames, found(chosen)));
      return "done";
    }
    using owned = new DisposableStack();
    const { inherited, address } = frontEndPlace(values);
    const socket = inherited?.socket ?? address?.socket;
    if (socket !== undefined) owned.use(socket);
    // Before anyone can connect: without the decoder no front-end can be served.
    const codec = owned.use(chosen.open());
    if (chosen.because !== undefined)
      log.info(`decoder: ${chosen.name}, because ${chosen.because}`);
    const decoder = { ...foundCodec(chosen, codec), decoder: codec.deviceName };
    const makeDevice = () =>
      createVideoDevice({ backend: codec, maxStreams: values["max-streams"] });
    dieOfMemoryFaults();
    if (inherited?.listening === false) {
      await serveOne(inherited.socket, makeDevice, { ...values, decoder }, { loop, signal });
      return "done";
    }
    codec[Symbol.dispose](); // each front-end's process opens its own
    const listener =
      address === undefined
        ? inherited && Listener.inherited(loop, inherited.socket)
        : await Listener.open(loop, address, () => true, signal);
    if (listener === undefined) return "done";
    owned.use(listener);
    const { "socket-path": path = listener.name } = values;
    log.info(`listening on ${values.fd === undefined ? path : `descriptor ${values.fd}`}`);
    const stats = owned.use(new RingStats(loop, values, decoder));
    stats.listening(listener.name);
    await serveFrontEnds(
      loop,
      {
        next: async (signal) => {
          stats.waiting();
          return (await listener.next(signal))?.socket;
        },
        program,
        options: [...chosen.words, "--max-streams", String(values["max-streams"])],
        once: values.once,
        onFrontEnd: (counts) => stats.follow(counts),
        onFailure: (fields) => stats.failure(fields),
      },
      signal,
    );
    stats.finish();
    return "done"; // also after SIGTERM, which is how a monitor ends its back-end
  },
});

/** The decoder that a front-end would get; none where it is not available. */
function found(chosen: ChosenCodec): FoundCodec | undefined {
  try {
    using codec = chosen.open();
    return foundCodec(chosen, codec);
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    log.warn(error.message);
    return undefined;
  }
}

const foundCodec = ({ name }: ChosenCodec, { capabilities }: CodecBackend): FoundCodec => ({
  backend: name,
  formats: formatNames(capabilities),
});

/** Where front-ends come from: an inherited socket, or an address to listen on. Throws UsageError, UnavailableError. */
function frontEndPlace(values: AccessValues & Place): {
  inherited?: InheritedSocket;
  address?: Address;
} {
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

/** Serves the front-end on `socket` in this process, which may be a child of a listener: then that has the statistics. */
async function serveOne(
  socket: Fd,
  makeDevice: MakeDevice,
  options: RingStatsOptions & { readonly decoder: Readonly<Record<string, unknown>> },
  { loop, signal }: Context,
): Promise<void> {
  using owned = new DisposableStack();
  const child = childOfListener(loop);
  if (child !== undefined) {
    owned.use(child);
    const ended = AbortSignal.any([signal, child.signal]);
    await serveFrontEnd(loop, socket, { makeDevice, counts: child.counts }, ended);
    return;
  }
  const stats = owned.use(new RingStats(loop, options, options.decoder));
  const counts = noCounts();
  stats.follow(counts);
  service.ready();
  await serveFrontEnd(loop, socket, { makeDevice, counts }, signal);
  stats.finish();
}

if (import.meta.main) await runMain(vhostUserVideo);

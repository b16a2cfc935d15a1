// vhost-user-video: serves a virtio-video decoder to a virtual machine monitor.
import type { Fd } from "../ffi/fd.ts";
import { inheritedSocket } from "../ffi/socket.ts";
import { log } from "../src/cli/log.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { needed, UsageError } from "../src/errors.ts";
import type { Loop } from "../src/loop.ts";
import { parseAddress } from "../src/stream/socket/address.ts";
import { Listener } from "../src/stream/socket/listener.ts";
import { statsOptions } from "../src/stream/stream-options.ts";
import { RingStats } from "../src/vhost/ring-stats.ts";
import { capabilities, serve } from "../src/vhost/server.ts";
import { codecNames, openCodec } from "../src/video/codec/index.ts";
import { createVideoDevice } from "../src/video/video-device.ts";
import { toolRow } from "./tool-rows.ts";

const LARGEST_FD = 0x7fff_ffff;

export const vhostUserVideo = defineTool({
  ...toolRow("vhost-user-video"),
  options: {
    "socket-path": { short: "s", type: "text", value: "PATH", help: "Unix socket to listen on" },
    fd: {
      type: "integer",
      min: 0,
      max: LARGEST_FD,
      help: "number of the inherited descriptor of a connected front-end",
    },
    backend: {
      short: "b",
      type: "text",
      value: codecNames.join("|"),
      help: "decoder to use; required",
    },
    "v4l2-device": {
      short: "d",
      type: "text",
      default: "/dev/video0",
      value: "PATH",
      help: "stateful decoder device, for --backend v4l2-decoder",
    },
    "max-streams": {
      type: "integer",
      min: 1,
      max: 1024,
      default: 16,
      help: "most streams a guest may have at the same time",
    },
    once: { type: "flag", help: "end when the first front-end disconnects" },
    "print-capabilities": {
      type: "flag",
      help: "print the capabilities of this back-end as JSON and end",
    },
    ...statsOptions,
    stats: { ...statsOptions.stats, default: 0 },
  },
  async run(values, { loop, signal }) {
    if (values["print-capabilities"]) {
      await printOut(capabilities(codecNames));
      return "done";
    }
    const { backend = "", fd } = values;
    if (!codecNames.includes(backend)) {
      throw new UsageError(`--backend must be ${codecNames.join(" or ")}, got "${backend}"`);
    }
    using owned = new DisposableStack();
    const next = await frontEnds(loop, values["socket-path"], fd, owned, signal);
    const codec = owned.use(openCodec({ backend, device: values["v4l2-device"] }));
    const stats = owned.use(new RingStats(loop, values));
    await serve(
      loop,
      {
        next,
        makeDevice: () => createVideoDevice({ backend: codec, maxStreams: values["max-streams"] }),
        once: values.once || fd !== undefined,
        onFrontEnd: (counts) => stats.follow(counts),
      },
      signal,
    );
    stats.finish();
    return "done"; // also after SIGTERM, which is how a monitor ends its back-end
  },
});

/** Answers how to get the next front-end: from the socket at `path`, or the inherited one once. */
async function frontEnds(
  loop: Loop,
  path: string | undefined,
  fd: number | undefined,
  owned: DisposableStack,
  signal: AbortSignal,
): Promise<(signal: AbortSignal) => Promise<Fd | undefined>> {
  if ((path === undefined) === (fd === undefined)) {
    throw new UsageError("exactly one of --socket-path and --fd is needed");
  }
  if (fd !== undefined) {
    const inherited = needed(
      () => inheritedSocket(fd),
      () => "--fd must be the number of an open socket",
    );
    return async () => inherited;
  }
  const address = parseAddress("--socket-path", `unix:${path}`, undefined);
  const listener = owned.use(await Listener.open(loop, address, () => true, signal));
  if (listener !== undefined) log.info(`listening on ${path}`);
  return async (signal) => (await listener?.next(signal))?.socket;
}

if (import.meta.main) await runMain(vhostUserVideo);

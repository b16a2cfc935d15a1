// Option rows that all receivers share, and how they are read.

import { streamFigures } from "../cli/figures.ts";
import { inGroup } from "../cli/groups.ts";
import type { Options, Values } from "../cli/options.ts";
import { realtimeOptions } from "../cli/realtime.ts";
import { UsageError } from "../errors.ts";
import { DEFAULT_HEAP, heapAllocator } from "../frame/memory.ts";
import type { Loop } from "../loop.ts";
import { cameraOptions, readCameraOptions } from "../output/camera/camera-options.ts";
import { openOutputs } from "../output/open-outputs.ts";
import { checkOutputName } from "../output/play.ts";
import { checkOutputsDiffer } from "../output/same-output.ts";
import type { ConsumerOptions } from "./consumer.ts";
import { Demand } from "./demand.ts";
import { Destination } from "./destination.ts";
import { SenderDestinations } from "./sender-destinations.ts";
import type { ServeOptions } from "./serve.ts";
import { type Address, allowList, parseAddress } from "./socket/address.ts";
import { listenAddress } from "./socket/listen-address.ts";
import { addressOptions, frameLimit, statsOptions } from "./stream-options.ts";

/** Which senders to serve, what to do with their frames, what to report. */
export const receiverOptions = {
  ...addressOptions.listen,
  ...inGroup("output", {
    output: {
      short: "o",
      type: "list",
      value: "FILE",
      completes: { files: "all" },
      help: "write frames to FILE; - for stdout, YUV4MPEG2 if its name ends in .y4m, a camera if it is a video output device; may be repeated",
    },
    "no-clobber": { type: "flag", help: "do not overwrite an existing --output file" },
  } as const satisfies Options),
  ...cameraOptions,
  ...inGroup("output", {
    frames: {
      short: "n",
      type: "integer",
      min: -1,
      max: Number.MAX_SAFE_INTEGER,
      help: "end after that many frames; -1: unlimited, 0: after the hello",
    },
    verify: { type: "flag", help: "check the stamps of testsrc; fail at the first wrong frame" },
    "max-frame": {
      type: "integer",
      min: 1,
      max: 0xffff_ffff,
      default: 67_108_864,
      value: "BYTES",
      help: "largest frame a sender may announce; a compressed picture counts 2 bytes a pixel where it is decoded, and in a camera",
    },
  } as const satisfies Options),
  ...statsOptions,
  ...realtimeOptions,
} as const satisfies Options;

/** For receivers of several senders. */
export const severalOptions = inGroup("connection", {
  senders: {
    type: "integer",
    min: 1,
    max: 256,
    value: "COUNT",
    help: "serve that many senders at a time; in --output and --camera %n is then the sender's number, %a its address",
  },
} as const satisfies Options);

/** The meaning of `receiverOptions`. */
export interface ReceiverSetup {
  readonly address: Address;
  /** What to do with a frame's bytes. Its outputs are opened by `serving.prepare`. */
  readonly consumer: ConsumerOptions;
  /** Call when serving has ended. Throws what an output failed with while others went on. */
  readonly checkOutputs: () => void;
  /** The outputs of each sender, with --senders. */
  readonly several:
    | { readonly senders: number; readonly destinations: SenderDestinations }
    | undefined;
  readonly serving: Omit<ServeOptions, "receive"> &
    Required<Pick<ServeOptions, "prepare" | "summary">>;
}

/** Reads the options of a receiver. Outputs that are opened later belong to `owned`. Throws UsageError. */
export function readReceiverOptions(
  values: Omit<Values<typeof receiverOptions>, "given"> & {
    readonly given: ReadonlySet<string>;
    readonly senders?: number | undefined;
  },
  loop: Loop,
  owned: DisposableStack,
): ReceiverSetup {
  const { stats, json, senders, verify, output: paths, camera: cameras } = values;
  const demand = values["on-demand"] ? new Demand(loop) : undefined;
  const keep = values.keep || demand !== undefined;
  for (const path of paths) checkOutputName(path);
  if (senders === undefined) checkOutputsDiffer(paths, json);
  else if (demand !== undefined)
    throw new UsageError("--on-demand is for one sender: omit --senders");
  const address = listenAddress({
    kinds: ["unix", "inet", "vsock"],
    given: ["listen", "port"].filter((name) => values.given.has(name)).map((name) => `--${name}`),
    access: values,
    parse: () => parseAddress("--listen", values.listen, values.port),
  });
  if (address.socket !== undefined) owned.use(address.socket);
  if (demand !== undefined && address.socket !== undefined)
    throw new UsageError(
      `--on-demand ends listening while no program reads the camera, and ${address.text} was passed by a service manager, which goes on: use --listen`,
    );
  if (values.allow.length > 0 && (address.kind === "unix" || address.kind === "vsock"))
    throw new UsageError(`--allow is for IP addresses, not for --listen ${address.text}`);
  const allowed = allowList(values.allow);
  const camera = {
    ...readCameraOptions(values),
    fromStart: keep,
    maxFrame: values["max-frame"],
    where: () => address.text,
    openHeap: () => heapAllocator(DEFAULT_HEAP),
    readers: demand && ((path: string, count: number | undefined) => demand.set(path, count)),
  };
  const wishes = { paths, files: { noClobber: values["no-clobber"] }, cameras, camera };
  const nodes = owned.use(new DisposableStack());
  const writes = senders === undefined && paths.length + cameras.length > 0;
  const destination = owned.use(new Destination({ verify, writes }));
  const { consumer } = destination;
  const several = senders !== undefined && {
    senders,
    destinations: owned.use(new SenderDestinations(loop, { ...wishes, senders, verify, json })),
  };
  return {
    address,
    consumer,
    several: several || undefined,
    checkOutputs: () => (several ? several.destinations : destination).check(),
    serving: {
      address,
      allowed,
      keep,
      stallMs: values["stall-timeout"] * 1000,
      frames: frameLimit(values.frames),
      stats,
      json,
      prepare: async (signal) => {
        if (several) await several.destinations.prepare(signal);
        else
          destination.opened(await openOutputs(loop, wishes, destination.outputs, nodes, signal));
      },
      summary: (stats) => destination.summary(stats),
      figures: [{ kind: streamFigures.leftOut, value: () => destination.leftOut }],
      demand,
    },
  };
}

// Option rows that all receivers share, and how they are read.

import { counted, countedWere } from "../cli/counted.ts";
import { streamFigures } from "../cli/figures.ts";
import { inGroup } from "../cli/groups.ts";
import type { Options, Values } from "../cli/options.ts";
import type { StreamStats, Summary } from "../cli/stats.ts";
import { UsageError } from "../errors.ts";
import { StampChecker } from "../format/stamp.ts";
import { DEFAULT_HEAP, heapAllocator } from "../frame/memory.ts";
import type { Loop } from "../loop.ts";
import { cameraOptions, readCameraOptions } from "../output/camera/camera-options.ts";
import { type OpenedOutputs, openOutputs } from "../output/open-outputs.ts";
import { Outputs } from "../output/outputs.ts";
import { checkOutputName } from "../output/play.ts";
import { checkOutputsDiffer } from "../output/same-output.ts";
import type { ConsumerOptions } from "./consumer.ts";
import { Demand } from "./demand.ts";
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
} as const satisfies Options;

/** The meaning of `receiverOptions`. */
export interface ReceiverSetup {
  readonly address: Address;
  /** What to do with a frame's bytes. Its outputs are opened by `serving.prepare`. */
  readonly consumer: ConsumerOptions;
  /** Call when serving has ended. Throws what an output failed with while others went on. */
  readonly checkOutputs: () => void;
  readonly serving: Omit<ServeOptions, "receive"> &
    Required<Pick<ServeOptions, "prepare" | "summary">>;
}

/** Reads the options of a receiver. Outputs that are opened later belong to `owned`. Throws UsageError. */
export function readReceiverOptions(
  values: Omit<Values<typeof receiverOptions>, "given"> & { readonly given: ReadonlySet<string> },
  loop: Loop,
  owned: DisposableStack,
): ReceiverSetup {
  const { stats, json, output: paths, camera: cameras } = values;
  const demand = values["on-demand"] ? new Demand(loop) : undefined;
  const keep = values.keep || demand !== undefined;
  for (const path of paths) checkOutputName(path);
  checkOutputsDiffer(paths, json);
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
  const checker = values.verify ? new StampChecker() : undefined;
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
  const outputs = owned.use(new Outputs());
  let opened: OpenedOutputs = { files: [], cameras: [] };
  let changed = 0;
  const prepare = async (signal: AbortSignal) => {
    opened = await openOutputs(loop, wishes, outputs, nodes, signal);
  };
  const summary = ({ fps }: StreamStats): Summary => {
    const written = opened.files.flatMap((file) => file.finish(fps));
    const lines: string[] = [];
    if (checker !== undefined) lines.push(`verified ${counted(checker.verified, "frame")}`);
    if (changed > 0) {
      lines.push(`${countedWere(changed, "frame")} overwritten by another sender during the read`);
    }
    lines.push(...written);
    for (const { name, frames: shown, copied, leftOut } of opened.cameras)
      lines.push(
        `${name}: ${counted(shown, "frame")} shown, ${copied} copied, ${leftOut} left out`,
      );
    const shown = opened.cameras.map(({ name, frames: count, copied, leftOut }) => ({
      path: name,
      frames: count,
      copied,
      left_out: leftOut,
    }));
    const leftOut = opened.files.reduce((sum, file) => sum + file.leftOutFrames, 0);
    const fields = {
      ...(checker !== undefined && { verified: checker.verified }),
      ...(changed > 0 && { changed }),
      ...(leftOut > 0 && { left_out: leftOut }),
      ...(shown.length > 0 && { cameras: shown }),
    };
    return { lines, fields };
  };
  const leftOut = () =>
    opened.files.reduce((sum, file) => sum + file.leftOutFrames, 0) +
    opened.cameras.reduce((sum, camera) => sum + camera.leftOut, 0);
  return {
    address,
    consumer: {
      checker,
      changed: () => {
        changed += 1;
      },
      output: paths.length + cameras.length > 0 ? outputs : undefined,
    },
    checkOutputs: () => {
      if (outputs.failure !== undefined) throw outputs.failure;
    },
    serving: {
      address,
      allowed,
      keep,
      stallMs: values["stall-timeout"] * 1000,
      frames: frameLimit(values.frames),
      stats,
      json,
      prepare,
      summary,
      figures: [{ kind: streamFigures.leftOut, value: leftOut }],
      demand,
    },
  };
}

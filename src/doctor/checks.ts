// What `framepass doctor` looks at, a row each: for which tools, and which of them cannot run without it.
import { realtimeRefused } from "../cli/realtime.ts";
import type { Context } from "../cli/tool.ts";
import type { DeviceReport } from "../devices/report.ts";
import type { WayName } from "../share/index.ts";
import type { WayStatus } from "../share/status.ts";
import { cameras, decoders, heap, loopback, udmabuf, vsock } from "./devices.ts";
import { type Finding, limited, missing, optional } from "./finding.ts";
import { avcodec, sdl, swscale, turbojpeg } from "./libraries.ts";
import * as machine from "./machine.ts";
import { others, programs, qemu } from "./monitors.ts";
import { wayFinding } from "./sharing.ts";

/** What was asked before: it takes processes and time. */
export interface Surroundings {
  readonly machine: machine.Machine;
  readonly reports: readonly DeviceReport[];
  readonly ways: readonly WayStatus[];
  readonly context: Context;
  /** Tries to listen on the port of the command line; undefined without one. */
  readonly listen: (() => Promise<Finding>) | undefined;
}

export interface Check {
  readonly name: string;
  /** The tools that it concerns; undefined: all. */
  readonly of?: readonly string[];
  /** Those of them that cannot run without it. */
  readonly needs?: readonly string[];
  /** Undefined: there is nothing to look at. */
  look(host: Surroundings): Finding | undefined | Promise<Finding | undefined>;
}

const senders = ["sender", "sender_zc"];
export const listening = ["receiver", "receiver_sdl", "receiver_zc", "receiver_zc_sdl"];
const windows = ["receiver_sdl", "receiver_zc_sdl"];
const zeroCopy = ["sender_zc", "receiver_zc", "receiver_zc_sdl"];
const decoder = ["vhost-user-video"];

const way = (name: WayName): Check => ({
  name: `share ${name}`,
  of: [...zeroCopy, "share"],
  look: ({ ways }) => {
    const status = ways.find((found) => found.way === name);
    return status === undefined
      ? missing("not known to framepass share status")
      : wayFinding(status);
  },
});

/** In the order in which they are listed. */
export const checks: readonly Check[] = [
  { name: "processor", look: (host) => machine.processor(host.machine) },
  { name: "C library", look: (host) => machine.cLibrary(host.machine) },
  { name: "kernel", look: machine.kernel },
  { name: "user", look: machine.groups },
  { name: "open files", look: (host) => machine.openFiles(host.machine) },
  {
    name: "locked memory",
    of: [...zeroCopy, ...decoder],
    look: (host) => machine.lockedMemory(host.machine),
  },
  {
    name: "real time",
    of: [...senders, ...listening, ...decoder],
    look: () => machine.realTime(realtimeRefused()),
  },
  {
    name: "cameras",
    of: [...senders, "devices"],
    look: ({ reports }) => optional(cameras(reports)),
  },
  { name: "DMA heap", of: [...senders, ...listening], look: () => optional(heap()) },
  { name: "virtual camera", of: listening, look: () => optional(loopback()) },
  { name: "vsock", of: [...senders, ...listening], look: () => optional(vsock()) },
  { name: "SDL2", of: windows, needs: windows, look: ({ context }) => sdl(context) },
  { name: "turbojpeg", of: [...listening], look: () => optional(turbojpeg()) },
  way("virtio-media"),
  way("xen-grant"),
  way("dax"),
  way("fd"),
  {
    name: "decoders",
    of: [...decoder, "devices"],
    needs: decoder,
    look({ reports }) {
      const found = decoders(reports);
      if (found.state === "ok") return found;
      const library = avcodec();
      if (library.state === "ok") return limited(`${found.text}; libavcodec is used instead`);
      return missing(`${found.text}; ${library.text}`);
    },
  },
  { name: "libavcodec", of: decoder, look: () => optional(avcodec()) },
  { name: "libswscale", of: [...decoder, ...listening], look: () => optional(swscale()) },
  { name: "udmabuf", of: decoder, look: () => optional(udmabuf()) },
  { name: "QEMU", of: [...decoder, "share"], look: ({ context }) => qemu(programs(context)) },
  { name: "other monitors", of: decoder, look: ({ context }) => others(programs(context)) },
  {
    name: "port",
    of: listening,
    needs: listening,
    look: ({ listen }) => listen?.(),
  },
];

export interface Result extends Finding {
  readonly name: string;
  /** The tools that cannot run because of it. */
  readonly stops: readonly string[];
}

/** Runs the checks of a tool, or all. */
export async function examine(tool: string | undefined, host: Surroundings): Promise<Result[]> {
  const results: Result[] = [];
  for (const { name, of, needs, look } of checks) {
    if (tool !== undefined && of?.includes(tool) === false) continue;
    const finding = await look(host);
    if (finding === undefined) continue;
    results.push({ name, ...finding, stops: finding.state === "missing" ? (needs ?? []) : [] });
  }
  return results;
}

/** A line of a result, for people. */
export const resultLine = ({ name, state, text }: Result) =>
  `${state.padEnd(8)} ${name.padEnd(18)} ${text}`;

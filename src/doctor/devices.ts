// Video devices, the memory that they share, and where frames come from and go to.
import { existsSync } from "node:fs";
import type { DeviceReport } from "../devices/report.ts";
import { UnavailableError } from "../errors.ts";
import { DEFAULT_HEAP } from "../frame/memory.ts";
import { openLoopback } from "../output/camera/loopback.ts";
import type { Kind } from "../v4l2/kinds.ts";
import { deviceFile, type Finding, missing, ok, tried } from "./finding.ts";

const named = ({ node, card }: DeviceReport) => `${node} ${card}`.trim();

/** The nodes of a kind; otherwise why there is none. `todo` is what helps where there is no such device. */
function nodes(reports: readonly DeviceReport[], kind: Kind, todo: string): Finding {
  const found = reports.filter(({ kinds }) => kinds.includes(kind));
  if (found.length > 0) return ok(found.map(named).join(", "));
  const silent = reports.filter(({ problem }) => problem !== undefined);
  if (silent.length === 0) return missing(todo);
  return missing(silent.map((report) => problemOf(report)).join(", "));
}

/** Throws UnavailableError when the node's driver did not answer before: opening it here could block for ever. */
export function checkAnswered(reports: readonly DeviceReport[], device: string): void {
  const report = reports.find(({ node }) => node === device);
  if (report?.problem !== undefined) throw new UnavailableError(problemOf(report));
}

function problemOf({ node, problem }: DeviceReport): string {
  if (!existsSync(node)) return `${node}: ${problem}`;
  const access = deviceFile(node, "");
  return access.state === "ok" ? `${node}: ${problem}` : access.text;
}

export const cameras = (reports: readonly DeviceReport[]): Finding =>
  nodes(
    reports,
    "camera",
    "no camera: connect one, or modprobe vivid for a virtual one; sender -d testsrc needs none",
  );

export const decoders = (reports: readonly DeviceReport[]): Finding =>
  nodes(reports, "decoder", "no V4L2 decoder");

export const heap = (): Finding =>
  deviceFile(
    DEFAULT_HEAP,
    "a kernel with CONFIG_DMABUF_HEAPS_SYSTEM has it; memfds are used instead",
  );

export const udmabuf = (): Finding => deviceFile("/dev/udmabuf", "modprobe udmabuf");

export const loopback = (): Finding =>
  tried(
    () => openLoopback("framepass"),
    () => "cameras can be made",
  );

/** The file shows that the kernel has vsock. Sockets need no right to open it. */
export const vsock = (path = "/dev/vsock"): Finding =>
  existsSync(path)
    ? ok(path)
    : missing(
        `${path} is not there: modprobe vhost_vsock on a host, vmw_vsock_virtio_transport in a guest`,
      );

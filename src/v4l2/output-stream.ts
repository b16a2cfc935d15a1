// Pictures into an opened node, from the first to the last in one format: by write(), or in the buffers of a queue.
import { errno, SysError } from "../../ffi/errno.ts";
import { MemoryRefused, UnavailableError } from "../errors.ts";
import type { OutputDevice, OutputNode } from "./output-device.ts";
import type { NodeFormat } from "./output-format.ts";
import type { Lending, OutputStream } from "./output-lending.ts";
import { OutputQueue } from "./output-queue.ts";

/**
 * Prepares `node`, whose format is set, for pictures. With `lending` it takes the memory of others, where its driver can:
 * dma-bufs, else user pointers. Throws UnavailableError. The caller disposes the node later.
 */
export function openOutputStream(
  node: OutputNode,
  device: OutputDevice,
  format: NodeFormat,
  lending?: Lending,
): OutputStream {
  if (device.how === "queue") return openQueue(node, device, format, lending);
  return {
    format,
    lentCount: 0,
    put: (address, bytes) => putByWrite(node, address, bytes),
    admit: () => `${device.name} takes pictures by write()`,
    lend: () => "refused",
    dismiss: () => undefined,
    [Symbol.dispose]: () => undefined, // the stream ends when the node is closed, and not before
  };
}

function openQueue(
  node: OutputNode,
  device: OutputDevice,
  format: NodeFormat,
  lending: Lending | undefined,
): OutputStream {
  const planes = format.memory.length;
  if (lending === undefined) return new OutputQueue(node, device, format, "mmap");
  if (planes > 1)
    return new OutputQueue(node, device, format, "mmap", {
      why: `${node.path} has ${planes} memory planes`,
    });
  let why = "";
  for (const memory of ["dmabuf", "userptr"] as const) {
    try {
      return new OutputQueue(node, device, format, memory, { lending, why });
    } catch (error) {
      if (!(error instanceof MemoryRefused)) throw error;
      if (why === "") why = error.message;
    }
  }
  return new OutputQueue(node, device, format, "mmap", { why });
}

function putByWrite(node: OutputNode, address: number, bytes: number): boolean {
  const r = node.write(address, bytes);
  if (r === bytes) return true;
  if (r === -errno.EAGAIN) return false;
  if (r < 0) throw new SysError("write", node.path, -r);
  throw new UnavailableError(
    `write ${node.path}: the driver took ${r} bytes of a picture of ${bytes}`,
  );
}

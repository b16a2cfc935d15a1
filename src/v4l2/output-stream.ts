// Pictures into an opened node, from the first to the last in one format: by write(), or in the buffers of a queue.
import { monotonicUs } from "../../ffi/clock.ts";
import { copyMemory } from "../../ffi/copy.ts";
import { errno, must, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import { UnavailableError } from "../errors.ts";
import { mapPlanes } from "./buffers-mmap.ts";
import { unavailable } from "./device.ts";
import type { OutputDevice, OutputNode } from "./output-device.ts";
import type { NodeFormat } from "./output-format.ts";
import { NOT_QUEUED, Queue } from "./queue.ts";

/** One is shown, one is next, one is being filled, one is spare. */
const BUFFERS = 4;

export interface OutputStream extends Disposable {
  readonly format: NodeFormat;
  /**
   * Shows the picture in the `bytes` at `address`, which lies as `format` says; the memory is free again afterwards. False
   * when the driver still has all buffers: the picture is left out. Throws SysError.
   */
  put(address: number, bytes: number): boolean;
}

/** Prepares `node`, whose format is set, for pictures. Throws UnavailableError. The caller disposes the node later. */
export function openOutputStream(
  node: OutputNode,
  device: OutputDevice,
  format: NodeFormat,
): OutputStream {
  if (device.how === "queue") return new QueuedStream(node, device, format);
  return {
    format,
    put: (address, bytes) => putByWrite(node, address, bytes),
    [Symbol.dispose]: () => undefined, // the stream ends when the node is closed, and not before
  };
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

class QueuedStream implements OutputStream {
  readonly format: NodeFormat;
  readonly #path: string;
  readonly #queue: Queue<"output">;
  readonly #owned = new DisposableStack();
  readonly #mappings: readonly (readonly Mapping[])[];
  /** Indices of the buffers that we have; `#freeCount` of them. */
  readonly #free: number[];
  #freeCount: number;
  readonly #payload;

  constructor(node: OutputNode, device: OutputDevice, format: NodeFormat) {
    this.format = format;
    this.#path = node.path;
    using owned = new DisposableStack();
    this.#queue = new Queue(node, "output", device.multiplanar);
    const count = this.#queue.request(BUFFERS, "mmap", format.memory.length);
    if (count < 0) throw unavailable(new SysError("VIDIOC_REQBUFS", node.path, -count), "output");
    owned.defer(() => this.#queue.free()); // runs last: the driver keeps buffers that are mapped
    if (count < 1 || count > 64)
      throw new UnavailableError(`VIDIOC_REQBUFS ${node.path}: the driver gave ${count} buffers`);
    this.#mappings = Array.from({ length: count }, (_, index) =>
      mapPlanes(this.#queue, index, owned, format.memory),
    );
    owned.defer(() => this.#queue.stop());
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index);
    this.#freeCount = count;
    this.#payload = {
      bytesused: [...format.memory],
      tsSec: 0,
      tsUsec: 0,
      field: v.V4L2_FIELD_NONE,
    };
    this.#owned = owned.move();
  }

  put(address: number, bytes: number): boolean {
    this.#takeBack();
    if (this.#freeCount === 0) return false;
    const index = this.#free[this.#freeCount - 1] ?? 0;
    this.#fill(this.#mappings[index] ?? [], address, bytes);
    const nowUs = monotonicUs();
    this.#payload.tsSec = Math.floor(nowUs / 1e6);
    this.#payload.tsUsec = nowUs % 1e6;
    must(this.#queue.queueFilled(index, this.#payload), "VIDIOC_QBUF", this.#path);
    this.#freeCount -= 1;
    this.#queue.start();
    return true;
  }

  #fill(planes: readonly Mapping[], address: number, bytes: number): void {
    let done = 0;
    for (let i = 0; i < planes.length; i++) {
      const length = Math.min(bytes - done, this.format.memory[i] ?? 0);
      copyMemory(planes[i]?.address ?? 0, address + done, length);
      this.#payload.bytesused[i] = length;
      done += length;
    }
  }

  /** Takes back the buffers that were shown. */
  #takeBack(): void {
    if (!this.#queue.streaming) return;
    for (;;) {
      const index = this.#queue.dequeue();
      if (index === -errno.EAGAIN) return;
      if (index === NOT_QUEUED)
        throw new UnavailableError(
          `VIDIOC_DQBUF ${this.#path}: the driver returned buffer ${this.#queue.index}, which it did not have`,
        );
      if (index < 0) throw new SysError("VIDIOC_DQBUF", this.#path, -index);
      this.#free[this.#freeCount++] = index;
    }
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }
}

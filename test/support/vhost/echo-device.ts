// A virtio device for tests of the transport: it answers with the bytes of the request, at once or when the test calls release().
import type {
  DeviceHost,
  GuestMemory,
  Request,
  VirtioDevice,
} from "../../../src/virtio/virtio-device.ts";

/** Actions of the device, selected by the first byte of a request. */
export const ECHO = 0;
export const HOLD = 1;
export const THROW = 2;

export class EchoDevice implements VirtioDevice {
  readonly deviceId = 31;
  readonly features = 3n;
  readonly queues = 2;
  readonly eventQueue = 1;
  /** Calls in order. */
  readonly calls: string[] = [];
  /** Requests that wait for release(). */
  readonly held: { readonly request: Request; readonly bytes: Uint8Array<ArrayBuffer> }[] = [];
  /** Event buffers. */
  readonly buffers: Request[] = [];
  host: DeviceHost | undefined;
  memory: GuestMemory | undefined;
  disposed = false;
  requests = 0;
  /** Whether a request can make it throw. */
  readonly #throws: boolean;

  constructor({ throws = true } = {}) {
    this.#throws = throws;
  }

  config(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: 44 }, (_, i) => i + 1);
  }
  start(host: DeviceHost): void {
    this.calls.push("start");
    this.host = host;
    this.memory = host.memory;
  }
  request(queue: number, request: Request): void {
    this.requests += 1;
    if (queue === this.eventQueue) {
      this.buffers.push(request);
      return;
    }
    const [what = ECHO] = request.bytes;
    if (what === THROW && this.#throws) throw new Error("the device has a defect");
    if (what === HOLD) this.held.push({ request, bytes: request.bytes.slice() });
    else request.answer(request.bytes);
  }
  /** Answers the held requests, newest first, each with its own bytes. */
  release(): void {
    for (const { request, bytes } of this.held.splice(0).reverse()) request.answer(bytes);
  }
  pause(): void {
    this.calls.push("pause");
  }
  resume(): void {
    this.calls.push("resume");
  }
  reset(): void {
    this.calls.push("reset");
  }
  memoryChanged(memory: GuestMemory): void {
    this.calls.push("memoryChanged");
    this.memory = memory;
  }
  [Symbol.dispose](): void {
    this.disposed = true;
  }
}

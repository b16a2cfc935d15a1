// The state of a connection: negotiated features, status, memory and rings. The next connection starts with a new one.
import type { Loop } from "../loop.ts";
import { ringFeatures, VIRTIO_F_VERSION_1 } from "../virtio/ring-layout.ts";
import type { VirtioDevice } from "../virtio/virtio-device.ts";
import {
  type ProtocolFeature,
  protocolFeatures,
  VHOST_USER_F_PROTOCOL_FEATURES,
} from "./features.ts";
import { MAX_REGIONS_WITH_BUFFERS, MemoryTable } from "./memory.ts";
import { type MakeDevice, type QueueEvents, Queues } from "./queues.ts";
import type { Ring } from "./ring.ts";

/** What a front-end must support so that its guest can use the region of the device. */
const regionFeatures = ["REPLY_ACK", "BACKEND_REQ", "BACKEND_SEND_FD", "SHMEM"] as const;

/** A bit of the status byte: VIRTIO 1.2, 2.1. */
const FEATURES_OK = 8;

export class Session implements Disposable {
  readonly memory = new MemoryTable();
  readonly queues: Queues;
  readonly device: VirtioDevice;
  readonly offeredProtocol: bigint;
  #status = 0;
  #protocol = 0n;

  /** `offers` says which protocol features of the message table the device has. */
  constructor(
    loop: Loop,
    makeDevice: MakeDevice,
    events: QueueEvents,
    offers: (device: VirtioDevice) => bigint,
  ) {
    this.queues = new Queues(loop, this.memory, makeDevice, events);
    this.device = this.queues.device;
    this.offeredProtocol = offers(this.device);
    if (this.queues.region !== undefined) this.memory.most = MAX_REGIONS_WITH_BUFFERS;
  }

  /** The features offered: those of the rings, of vhost-user and of the device. */
  get offered(): bigint {
    return ringFeatures | VHOST_USER_F_PROTOCOL_FEATURES | this.device.features;
  }

  /** Sets the features the driver has acknowledged. Others are masked, because some front-ends pass them through. */
  acknowledge(features: bigint): void {
    this.queues.features = features & this.offered;
    // Without protocol features no message enables a ring: rings are enabled from the start.
    if ((features & VHOST_USER_F_PROTOCOL_FEATURES) !== 0n) return;
    for (const ring of this.queues.rings) this.enable(ring, true);
  }

  setProtocol(features: bigint): void {
    this.#protocol = features & this.offeredProtocol;
    const { region } = this.queues;
    if (region !== undefined) region.negotiated = regionFeatures.every((name) => this.has(name));
  }

  /** The virtio status byte that the front-end set last, without FEATURES_OK unless VERSION_1 is acknowledged. */
  get status(): number {
    return this.#status;
  }
  set status(value: number) {
    const modern = (this.queues.features & VIRTIO_F_VERSION_1) !== 0n;
    this.#status = modern ? value : value & ~FEATURES_OK;
  }

  has(feature: ProtocolFeature): boolean {
    return (this.#protocol & protocolFeatures[feature]) !== 0n;
  }

  enable(ring: Ring, on: boolean): void {
    ring.enabled = on;
    this.queues.changed(ring);
  }

  /**
   * Makes sure that a ring does not run. Returns false when it is started and enabled. A ring that is started but disabled is
   * stopped: UML does not send GET_VRING_BASE.
   */
  halt(ring: Ring): boolean {
    if (ring.started && ring.enabled) return false;
    if (ring.started) this.queues.stop(ring);
    return true;
  }

  /** Resets the device; connection, memory and features stay. */
  reset(): void {
    this.#status = 0;
    this.queues.resetAll();
  }

  [Symbol.dispose](): void {
    this.queues[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }
}

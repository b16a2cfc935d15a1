// The shared memory region of a device, as the monitor maps it: vhost-user, SHMEM_MAP and SHMEM_UNMAP. This side chooses the
// offsets. A range is used again only when the monitor has said that nothing is mapped there.
import { SysError } from "../../ffi/errno.ts";
import { Fd } from "../../ffi/fd.ts";
import type { BufferMemory } from "../virtio/buffer-memory.ts";
import { RegionAllocator } from "../virtio/region-allocator.ts";
import { MAP_LIMIT_MS, type RegionMapping, type SharedMemory } from "../virtio/shared-memory.ts";
import type { DeviceLoop } from "../virtio/virtio-device.ts";
import { BackendChannel, type ChannelRequest, type Outcome } from "./backend-channel.ts";
import * as p from "./payloads.ts";

/** A front-end that leaves closes both sockets, this one perhaps first. */
const NOTICE_MS = 500;

/** What the region uses of its connection. */
export interface RegionHost {
  readonly loop: DeviceLoop;
  /** Logs a fault of the front-end, within the limit of the connection. */
  complain(text: string): void;
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A range that is mapped, or may be. */
interface Held extends Range {
  /** Keeps the quota charged. */
  readonly memory: Disposable;
  /** To be removed: the device has asked for that, or it got no mapping because the answer of the monitor was late or lost. */
  unwanted: boolean;
  /** SHMEM_UNMAP was asked and is not refused. */
  unmapping: boolean;
}

type Done = (mapping: RegionMapping | undefined) => void;

export class MonitorRegion implements SharedMemory, Disposable {
  readonly size: number;
  /** The front-end supports all that the region needs. */
  negotiated = false;
  readonly #host: RegionHost;
  #channel: BackendChannel | undefined;
  #allocator: RegionAllocator;
  /** All ranges of this driver. */
  readonly #held = new Set<Held>();
  /** Ranges of earlier drivers that may be mapped. */
  readonly #stale = new Set<Range>();
  /** Requests whose device waits, their range, and the timer that ends the wait. */
  readonly #limits = new Map<ChannelRequest, { readonly held: Held; readonly timer: Disposable }>();
  #running = false;
  /** The line about the loss of the socket, which is not worth one when the front-end leaves. */
  #notice: Disposable | undefined;
  /** Increases with each reset: answers for an earlier driver change nothing. */
  #driver = 0;

  constructor(host: RegionHost, size: number) {
    this.#host = host;
    this.size = size;
    this.#allocator = new RegionAllocator(size);
  }

  /** Whether the front-end can be asked. */
  get usable(): boolean {
    return this.negotiated && this.#channel !== undefined;
  }

  /** The device runs or stops. While it stops, the front-end is not asked. */
  set running(on: boolean) {
    this.#running = on;
    if (this.#channel !== undefined) this.#channel.running = on;
  }

  /**
   * Takes the socket on which the front-end is asked, and closes an earlier one. A descriptor that cannot be used for that, such as
   * a pipe, leaves the device without a region.
   */
  attach(socket: Fd): void {
    const before = this.#channel;
    this.#channel = undefined;
    before?.[Symbol.dispose]();
    try {
      const channel = new BackendChannel(this.#host.loop, socket, this.#running, (reason) => {
        if (this.#channel === channel) this.#channel = undefined;
        const text = `the socket for requests of the back-end is not used any more: ${reason}`;
        this.#notice?.[Symbol.dispose]();
        this.#notice = this.#host.loop.after(NOTICE_MS, () => this.#host.complain(text));
      });
      this.#channel = channel;
    } catch (error) {
      socket[Symbol.dispose]();
      if (!(error instanceof SysError)) throw error;
      this.#host.complain(
        `the socket for requests of the back-end cannot be used: ${error.message}`,
      );
      return;
    }
    this.#removeStale();
    for (const held of this.#held) if (held.unwanted) this.#unmap(held);
  }

  map(memory: BufferMemory, writable: boolean, done: Done): void {
    const channel = this.usable ? this.#channel : undefined;
    const offset = channel === undefined ? undefined : this.#allocator.allocate(memory.fileLength);
    if (channel === undefined || offset === undefined) {
      done(undefined);
      return;
    }
    let fd: Fd;
    try {
      fd = Fd.duplicate(memory.fd, "buffer"); // the device may dispose the memory before the request is sent
    } catch (error) {
      this.#allocator.free(offset);
      if (!(error instanceof SysError)) throw error;
      this.#host.complain(`a buffer cannot be mapped: ${error.message}`);
      done(undefined);
      return;
    }
    const length = memory.fileLength;
    const held: Held = {
      offset,
      length,
      memory: memory.hold(),
      unwanted: false,
      unmapping: false,
    };
    this.#held.add(held);
    const driver = this.#driver;
    const request: ChannelRequest = {
      request: p.SHMEM_MAP,
      payload: range(held, writable ? p.SHMEM_WRITABLE : 0),
      fd,
      ended: (outcome) => {
        if (driver === this.#driver) this.#mapped(request, held, outcome, done);
      },
    };
    const timer = this.#host.loop.after(MAP_LIMIT_MS, () => {
      this.#limits.delete(request);
      held.unwanted = true;
      if (channel.cancel(request)) this.#free(held);
      this.#host.complain(`the front-end has not mapped a buffer in ${MAP_LIMIT_MS} ms`);
      done(undefined);
    });
    this.#limits.set(request, { held, timer });
    channel.ask(request);
  }

  #mapped(request: ChannelRequest, held: Held, outcome: Outcome, done: Done): void {
    this.#limits.get(request)?.timer[Symbol.dispose]();
    const late = !this.#limits.delete(request);
    if (outcome === "refused") {
      this.#free(held);
      if (this.#channel !== undefined) this.#host.complain("the front-end refused to map a buffer");
    } else if (outcome === "lost") held.unwanted = true;
    else if (late) this.#unmap(held);
    if (late) return;
    done(outcome === "done" ? this.#mapping(held) : undefined);
  }

  /**
   * Asks for the end of the mappings of earlier drivers, before anything that the next one wants: they would be in its way. The
   * requests wait until the device runs again. Most front-ends have removed them at the reset and refuse, which is not wrong.
   */
  #removeStale(): void {
    const channel = this.#channel;
    for (const stale of this.#stale) {
      channel?.ask({
        request: p.SHMEM_UNMAP,
        payload: range(stale, 0),
        ended: () => {
          if (this.#channel === channel) this.#stale.delete(stale); // otherwise it was not answered
        },
      });
    }
  }

  #mapping(held: Held): RegionMapping {
    const driver = this.#driver;
    return {
      offset: held.offset,
      unmap: () => {
        if (driver !== this.#driver || held.unwanted) return;
        held.unwanted = true;
        this.#unmap(held);
      },
    };
  }

  /** Asks for the end of a mapping. Without a socket it stays until there is one, or until the reset. */
  #unmap(held: Held): void {
    if (held.unmapping || this.#channel === undefined) return;
    held.unmapping = true;
    const driver = this.#driver;
    this.#channel.ask({
      request: p.SHMEM_UNMAP,
      payload: range(held, 0),
      ended: (outcome) => {
        if (driver !== this.#driver) return;
        if (outcome === "done") this.#free(held);
        else held.unmapping = false;
        if (outcome === "refused" && this.#channel !== undefined) {
          this.#host.complain(
            "the front-end refused to unmap a buffer: its space is not used again",
          );
        }
      },
    });
  }

  #free(held: Held): void {
    this.#held.delete(held);
    this.#allocator.free(held.offset);
    held.memory[Symbol.dispose]();
  }

  /**
   * The driver has ended. The front-end should remove all mappings when it resets the device (vhost-user, "Shared memory regions"),
   * but crosvm does not. Nothing may be asked now, because the device does not run, so it is asked when the next driver starts.
   */
  reset(): void {
    this.running = false;
    this.#forget();
    this.#removeStale();
    this.#allocator = new RegionAllocator(this.size);
  }

  /** Drops everything of this driver: what waits is not asked any more. */
  #forget(): void {
    this.#driver += 1;
    for (const [request, { held, timer }] of this.#limits) {
      timer[Symbol.dispose]();
      if (this.#channel?.cancel(request) === true) this.#free(held); // never mapped
    }
    this.#limits.clear();
    for (const { memory, offset, length } of this.#held) {
      memory[Symbol.dispose]();
      this.#stale.add({ offset, length });
    }
    this.#held.clear();
    this.#channel?.cancelAll();
  }

  [Symbol.dispose](): void {
    this.#forget();
    this.#stale.clear();
    this.#notice?.[Symbol.dispose]();
    const channel = this.#channel;
    this.#channel = undefined;
    channel?.[Symbol.dispose]();
  }
}

/** The payload that names a range. A mapping can only be removed with the very offset and length it was made with. */
function range({ offset, length }: Range, flags: number): Uint8Array<ArrayBuffer> {
  const payload = p.shmemRange.alloc();
  payload.offset = offset;
  payload.length = length;
  payload.flags = flags;
  return payload.$bytes;
}

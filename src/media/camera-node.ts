// The camera as all sessions of a guest share it: format and rate, which session has the buffers, the stream, subscriptions.
import * as v from "../../ffi/linux/videodev2.ts";
import { log } from "../cli/log.ts";
import { formatText } from "../format/convertible.ts";
import type { DeviceHost, GuestMemory } from "../virtio/virtio-device.ts";
import { CaptureQueue, MAX_BUFFERS } from "./capture-queue.ts";
import type { Events } from "./events.ts";
import type { MediaCounts } from "./media-counts.ts";
import { check, MediaError } from "./media-error.ts";
import type { MediaSource } from "./media-source.ts";
import { firstMode, type Interval, type Mode, nearestInterval } from "./offers.ts";
import type { Session, Sessions } from "./session.ts";
import type { SharedBuffers } from "./shared-buffers.ts";
import { MAX_SUBSCRIPTIONS, Subscription } from "./subscriptions.ts";
import { Viewing } from "./viewing.ts";

export interface CameraNodeParts {
  readonly source: MediaSource;
  readonly events: Events;
  readonly shared: SharedBuffers;
  readonly sessions: Sessions;
  readonly counts: MediaCounts;
  /** The host that the device runs on now. */
  readonly host: () => Pick<DeviceHost, "loop" | "sharedMemory">;
  readonly memory: () => GuestMemory;
}

/** Lines about starts and stops of one guest. */
const MOST_LINES = 20;

/** Takes the default interval of a size. */
const noWish: Interval = { numerator: 0, denominator: 0 };

export class CameraNode {
  readonly source: MediaSource;
  readonly #of: CameraNodeParts;
  #mode: Mode;
  #interval: Interval;
  /** The buffers, of the session that owns them. */
  #queue: CaptureQueue | undefined;
  #viewing: Viewing | undefined;
  #lines = 0;

  constructor(of: CameraNodeParts) {
    this.#of = of;
    this.source = of.source;
    this.#mode = firstMode(of.source.offers);
    this.#interval = nearestInterval(this.#mode.size, noWish);
  }

  get mode(): Mode {
    return this.#mode;
  }
  get interval(): Interval {
    return this.#interval;
  }
  get guestMemory(): GuestMemory {
    return this.#of.memory();
  }
  get streaming(): boolean {
    return this.#viewing !== undefined;
  }

  /** Throws MediaError while there are buffers. */
  checkIdle(): void {
    if (this.#queue !== undefined) throw new MediaError("EBUSY", "there are buffers");
  }

  /** Sets the format of all sessions. Throws MediaError while there are buffers. */
  setMode(mode: Mode): void {
    this.checkIdle();
    this.#mode = mode;
    this.#interval = nearestInterval(mode.size, this.#interval);
  }

  /** Throws MediaError while the camera streams. */
  changeInterval(interval: Interval): void {
    if (this.streaming) throw new MediaError("EBUSY", "the camera streams");
    this.#interval = interval;
  }

  // Buffers.

  /** V4L2_BUF_CAP_*: buffers of the device where the monitor has the region, otherwise memory of the guest. */
  get capabilities(): number {
    return this.#of.host().sharedMemory !== undefined
      ? v.V4L2_BUF_CAP_SUPPORTS_MMAP | v.V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS
      : v.V4L2_BUF_CAP_SUPPORTS_USERPTR;
  }

  checkMemoryType(memory: number, count: number): void {
    // Buffers of before the region was lost can still be freed.
    if (count === 0 && this.#queue?.memoryType === memory) return;
    const mapped = this.#of.host().sharedMemory !== undefined;
    const type = mapped ? v.V4L2_MEMORY_MMAP : v.V4L2_MEMORY_USERPTR;
    check(memory === type, `memory type ${memory} is not offered`);
  }

  isOwnedByOther(session: Session): boolean {
    return this.#queue !== undefined && this.#queue.session !== session.id;
  }

  #checkOwner(session: Session): void {
    if (this.isOwnedByOther(session))
      throw new MediaError("EBUSY", "another session has the buffers");
  }

  /** The buffers of that session. Throws MediaError when it has none. */
  queueOf(session: Session): CaptureQueue {
    this.#checkOwner(session);
    return this.anyQueue;
  }

  /** The buffers of whichever session. Throws MediaError when there are none. */
  get anyQueue(): CaptureQueue {
    if (this.#queue === undefined) throw new MediaError("EINVAL", "there are no buffers");
    return this.#queue;
  }

  /** How many buffers the session has. */
  buffersOf(session: Session): number {
    return this.#queue?.session === session.id ? this.#queue.buffers.length : 0;
  }

  /** Replaces the buffers by `count` others, fewer where there is no room for more. Throws MediaError. */
  requestBuffers(session: Session, memory: number, count: number): void {
    this.#checkOwner(session);
    if (count > 0 && this.streaming) throw new MediaError("EBUSY", "the camera streams");
    this.#freeBuffers();
    if (count === 0) return;
    const queue = new CaptureQueue(session.id, memory, this.#of.shared);
    queue.add(count, this.#mode.sizeimage);
    this.#queue = queue;
  }

  /** Adds buffers of `length` bytes. Throws MediaError. */
  createBuffers(session: Session, memory: number, count: number, length: number): void {
    this.#checkOwner(session);
    const queue = this.#queue ?? new CaptureQueue(session.id, memory, this.#of.shared);
    check(queue.memoryType === memory, "the other buffers have another memory type");
    if (queue.buffers.length >= MAX_BUFFERS)
      throw new MediaError("ENOMEM", `there are ${MAX_BUFFERS} buffers`);
    queue.add(count, length);
    this.#queue = queue;
  }

  #freeBuffers(): void {
    const queue = this.#queue;
    if (queue === undefined) return;
    this.#stopStream(queue);
    this.#queue = undefined;
    queue.free();
  }

  // The stream.

  /** Starts the stream; without effect while it runs. Throws MediaError without buffers. */
  streamOn(session: Session): void {
    const queue = this.queueOf(session);
    if (this.streaming) return;
    const { host, events, counts, memory } = this.#of;
    const { loop } = host();
    queue.streaming = true;
    counts.restart();
    const rate = this.#interval.denominator / this.#interval.numerator;
    this.#say(
      `${this.source.name}: the guest streams ${formatText(this.#mode)} at ${Number(rate.toFixed(2))} fps`,
    );
    this.#viewing = new Viewing({
      loop,
      queue,
      mode: this.#mode,
      interval: this.#interval,
      events,
      counts,
      memory,
      sourceName: this.source.name,
    });
    this.source.start(loop, this.#mode, this.#interval, this.#viewing);
  }

  /** Stops the stream and returns all buffers of the session to its program, without events. */
  streamOff(session: Session): void {
    if (this.#queue?.session === session.id) this.#stopStream(this.#queue);
  }

  #stopStream(queue: CaptureQueue): void {
    if (this.#viewing !== undefined) {
      this.source.stop();
      this.#viewing[Symbol.dispose]();
      this.#viewing = undefined;
      this.#say(`${this.source.name}: the guest's stream has ended: ${this.#of.counts.text}`);
    }
    this.#of.events.drop(queue.session, "buffers");
    queue.stop();
  }

  /** A guest may start and stop without end, so later lines need --log-level debug. */
  #say(text: string): void {
    this.#lines += 1;
    if (this.#lines <= MOST_LINES) log.info(text);
    else log.debug(text);
  }

  /** The guest is paused, or goes on. */
  set paused(paused: boolean) {
    if (this.#viewing !== undefined) this.#viewing.paused = paused;
  }

  // Events.

  /** Throws MediaError. */
  subscribe(session: Session, id: number, flags: number): void {
    const controls = this.source.controls;
    const row = controls?.rows.find((one) => one.id === id);
    check(controls !== undefined && row !== undefined, "there is no such control");
    const known = session.subscriptions.get(id);
    if (known === undefined && session.subscriptions.size >= MAX_SUBSCRIPTIONS)
      throw new MediaError("ENOMEM", `the session has ${MAX_SUBSCRIPTIONS} subscriptions`);
    if (known !== undefined) this.unsubscribe(session, id);
    const subscription = new Subscription(session.id, id, flags);
    session.subscriptions.set(id, subscription);
    // A heading has no value: Linux sends no event for it, and v4l2-compliance refuses one.
    const heading = row.type === v.V4L2_CTRL_TYPE_CTRL_CLASS;
    if (heading || (flags & v.V4L2_EVENT_SUB_FL_SEND_INITIAL) === 0) return;
    const value = controls.get(row);
    const changes = v.V4L2_EVENT_CTRL_CH_FLAGS;
    if (value instanceof MediaError) this.#notify(subscription, row, 0n, changes);
    else this.#notify(subscription, row, value, changes | v.V4L2_EVENT_CTRL_CH_VALUE);
  }

  #notify(subscription: Subscription, ...change: Parameters<Subscription["changed"]>): void {
    subscription.changed(...change);
    if (subscription.pending) return; // the event that waits says it
    subscription.pending = true;
    this.#of.events.send(subscription);
  }

  unsubscribe(session: Session, id: number): void {
    const subscription = session.subscriptions.get(id);
    if (subscription === undefined) return;
    session.subscriptions.delete(id);
    this.#of.events.forget(subscription);
  }

  unsubscribeAll(session: Session): void {
    for (const id of [...session.subscriptions.keys()]) this.unsubscribe(session, id);
  }

  /** Sends the event of a changed control to the sessions that subscribed to it. `by` is the session that set it. */
  controlChanged(by: Session, id: number, value: bigint): void {
    const row = this.source.controls?.rows.find((one) => one.id === id);
    if (row === undefined) return;
    for (const session of this.#of.sessions.all()) {
      const subscription = session.subscriptions.get(id);
      if (subscription === undefined) continue;
      const feedback = (subscription.flags & v.V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK) !== 0;
      if (session === by && !feedback) continue;
      this.#notify(subscription, row, value, v.V4L2_EVENT_CTRL_CH_VALUE);
    }
  }

  /** The session is closed. */
  close(session: Session): void {
    if (this.#queue?.session === session.id) this.#freeBuffers();
    session.subscriptions.clear();
    this.#of.events.drop(session.id, "all");
  }

  /** The driver has ended: format and rate are those of the beginning. */
  reset(): void {
    this.#freeBuffers();
    this.#mode = firstMode(this.source.offers);
    this.#interval = nearestInterval(this.#mode.size, noWish);
  }
}

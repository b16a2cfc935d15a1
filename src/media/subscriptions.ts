// The events of V4L2 that a session has subscribed to: VIDIOC_SUBSCRIBE_EVENT. The device offers changes of controls only.
import { monotonicUs } from "../../ffi/clock.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { Struct } from "../../ffi/struct.ts";
import type { ControlRow } from "./controls.ts";

/** Subscriptions of a session. */
export const MAX_SUBSCRIPTIONS = 64;

export class Subscription {
  readonly session: number;
  /** The control's id. */
  readonly id: number;
  /** V4L2_EVENT_SUB_FL_*. */
  readonly flags: number;
  /** Whether an event waits. A newer one replaces its content. */
  pending = false;
  #row: ControlRow | undefined;
  #value = 0n;
  #changes = 0;
  #sequence = 0;

  constructor(session: number, id: number, flags: number) {
    this.session = session;
    this.id = id;
    this.flags = flags;
  }

  /** What the next event says. */
  changed(row: ControlRow, value: bigint, changes: number): void {
    this.#row = row;
    this.#value = value;
    this.#changes |= changes;
  }

  /** Writes the event: struct v4l2_event_ctrl. */
  encode(q: Struct<typeof v.v4l2Event.fields>): void {
    this.pending = false;
    const nowUs = monotonicUs();
    q.type = v.V4L2_EVENT_CTRL;
    q.id = this.id;
    q.sequence = this.#sequence;
    this.#sequence = (this.#sequence + 1) >>> 0;
    q["timestamp.tv_sec"] = Math.floor(nowUs / 1e6);
    q["timestamp.tv_nsec"] = (nowUs % 1e6) * 1000;
    q["u.ctrl.changes"] = this.#changes;
    this.#changes = 0;
    const row = this.#row;
    if (row === undefined) return;
    q["u.ctrl.type"] = row.type;
    q["u.ctrl.value64"] = this.#value;
    q["u.ctrl.flags"] = row.flags;
    if (row.type === v.V4L2_CTRL_TYPE_INTEGER64) return;
    q["u.ctrl.minimum"] = Number(BigInt.asIntN(32, row.minimum));
    q["u.ctrl.maximum"] = Number(BigInt.asIntN(32, row.maximum));
    q["u.ctrl.step"] = Number(BigInt.asIntN(32, row.step));
    q["u.ctrl.default_value"] = Number(BigInt.asIntN(32, row.default));
  }
}

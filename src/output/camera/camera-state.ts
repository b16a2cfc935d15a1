// What a virtual camera shows and when, without a device: idle, live, stand-by, and the size that its readers hold.
import type { PictureFormat } from "../../format/picture-layout.ts";

/** A sender that is silent for longer has no signal. */
export const SILENT_MS = 1000;
/** Between two stand-by pictures. */
export const STANDBY_MS = 500;

/**
 * "idle": the node has no format yet, no picture was written. "live": pictures come from a sender. "standby": they do not,
 * and the node gets a picture of ours twice a second.
 */
export type Phase = "idle" | "live" | "standby";

/** How a stream fits the node: "same" format, "change" the node's, or "fit" the pictures into the one it has. */
export type Plan = "same" | "change" | "fit";

export const sameFormat = (a: PictureFormat, b: PictureFormat) =>
  a.width === b.width && a.height === b.height && a.pixelformat === b.pixelformat;

export class CameraState {
  #format: PictureFormat | undefined;
  /** A format that the node did not take. It is asked for once more when the last reader has left. */
  #refused: PictureFormat | undefined;
  #readers: number | undefined;
  #phase: Phase = "idle";
  #frameMs = 0;
  /** When the next stand-by picture is due. */
  #nextMs = 0;

  get phase(): Phase {
    return this.#phase;
  }
  /** When the last picture of a sender came, or when the camera was opened. */
  get silentSinceMs(): number {
    return this.#frameMs;
  }

  /** Format of the node, once it has one. */
  get format(): PictureFormat | undefined {
    return this.#format;
  }

  /** The node was asked for a format, and has this one now. */
  setFormat(format: PictureFormat, wanted: PictureFormat): void {
    this.#format = format;
    this.#refused = sameFormat(format, wanted) ? undefined : wanted;
  }

  /** Programs that read the node; undefined where the driver does not say. */
  get readers(): number | undefined {
    return this.#readers;
  }
  set readers(count: number | undefined) {
    if (count === 0) this.#refused = undefined;
    this.#readers = count;
  }

  /**
   * What to do with the node for pictures of that format. A reader keeps the format that it found, so the node's changes
   * only when it is known that there is none.
   */
  plan(wanted: PictureFormat): Plan {
    if (this.#format === undefined) return "change";
    if (sameFormat(this.#format, wanted)) return "same";
    if (this.#refused !== undefined && sameFormat(this.#refused, wanted)) return "fit";
    return this.#readers === 0 ? "change" : "fit";
  }

  /** A picture of a sender was written. */
  frame(nowMs: number): void {
    this.#phase = "live";
    this.#frameMs = nowMs;
  }

  /** Shows the stand-by picture from now on, without waiting for the silence: at the start, and when a sender has left. */
  standBy(nowMs: number): void {
    if (this.#phase === "standby") return;
    if (this.#phase === "idle") this.#frameMs = nowMs;
    this.#phase = "standby";
    this.#nextMs = nowMs;
  }

  /** Whether a stand-by picture is due now. Each answer of true is one picture. */
  due(nowMs: number): boolean {
    if (this.#phase === "live" && nowMs - this.#frameMs >= SILENT_MS) this.standBy(nowMs);
    if (this.#phase !== "standby" || nowMs < this.#nextMs) return false;
    this.#nextMs = Math.max(this.#nextMs + STANDBY_MS, nowMs); // a late look does not slow the camera down
    return true;
  }
}

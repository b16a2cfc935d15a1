// What an ioctl of the device is: a row with its number and struct, from <linux/videodev2.h>, and what it does.
import type { Ioctl } from "../../ffi/ioctl.ts";
import type { Fields, Struct } from "../../ffi/struct.ts";
import type { CameraNode } from "./camera-node.ts";
import type { Session } from "./session.ts";

/** What a row may use besides its struct. */
export interface IoctlCall {
  readonly node: CameraNode;
  readonly session: Session;
  /** What follows the struct: an array that is answered as well, or a scatter list. A copy. */
  readonly tail: Uint8Array<ArrayBuffer>;
}

export interface IoctlRow {
  readonly ioctl: Ioctl<Fields>;
  /**
   * Reads and changes `q`, which holds the request and becomes the answer. Throws MediaError to refuse. `q` is valid during the
   * call only.
   */
  run(q: unknown, call: IoctlCall): void;
  /**
   * What may follow the struct. "list": a scatter list. "array": an array that is part of the answer, also of a refusal. Without
   * this nothing may follow.
   */
  readonly tail?: "list" | "array";
  /** Its answer ends a stream for the driver: it waits until the driver has processed its events (settling.ts). */
  readonly settles?: true;
}

/** Makes a row whose `run` gets `q` as its own struct. */
export function ioctlRow<F extends Fields>(
  ioctl: Ioctl<F>,
  run: (q: Struct<F>, call: IoctlCall) => void,
  tail?: "list" | "array",
): IoctlRow {
  const row = { ioctl, run, ...(tail && { tail }) };
  return row as unknown as IoctlRow; // the device makes each `q` with the struct of its row
}

/** The number in an ioctl's code: `_IOC_NR`. */
export const numberOf = ({ code }: Ioctl<Fields>): number => code & 0xff;
/** Whether the argument goes to the device: `_IOC_WRITE`. */
export const takes = ({ code }: Ioctl<Fields>): boolean => ((code >>> 30) & 1) !== 0;
/** Whether the argument comes back: `_IOC_READ`. */
export const gives = ({ code }: Ioctl<Fields>): boolean => ((code >>> 30) & 2) !== 0;

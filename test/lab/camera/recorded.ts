// What a program read of a camera, into a file of the guest's share: which of its frames are pictures of testsrc, and whether
// they are whole and in order.
import { join } from "node:path";
import { StampedBuffer } from "../../../src/format/stamp.ts";
import type { Guest } from "../guest.ts";

export interface Recorded {
  /** Frames in the file. */
  readonly frames: number;
  /** Numbers of the stamped pictures, in the order of the file. */
  readonly numbers: readonly number[];
  /** Which frame of the file each of them is. */
  readonly places: readonly number[];
  /** Frames that have a stamp and are not what was stamped. */
  readonly torn: number;
  /** Frames without a stamp: stand-by cards, converted pictures. */
  readonly others: number;
  /** Bytes after the last whole frame. */
  readonly rest: number;
  /** The picture in frame `index`. */
  frame(index: number): Uint8Array;
}

/** Reads a file of the share that has frames of `frameBytes`. */
export async function recorded(guest: Guest, file: string, frameBytes: number): Promise<Recorded> {
  const bytes = new Uint8Array(await Bun.file(join(guest.share, file)).arrayBuffer());
  const frames = Math.floor(bytes.length / frameBytes);
  const one = new Uint8Array(new ArrayBuffer(frameBytes));
  const stamped = new StampedBuffer(one);
  const numbers: number[] = [];
  const places: number[] = [];
  let torn = 0;
  let others = 0;
  const frame = (index: number) => bytes.subarray(index * frameBytes, (index + 1) * frameBytes);
  for (let i = 0; i < frames; i++) {
    one.set(frame(i));
    const read = stamped.read();
    if (typeof read === "number") {
      numbers.push(read);
      places.push(i);
    } else if (read === "torn") torn += 1;
    else others += 1;
  }
  return { frames, numbers, places, torn, others, rest: bytes.length - frames * frameBytes, frame };
}

/** Whether numbers only grow, from one sender; a slow reader may miss some. */
export const inOrder = (numbers: readonly number[]) =>
  numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0));

// What a sender sends: a camera, a recording, the built-in picture. All look the same from here on.
import type { Fd } from "../../ffi/fd.ts";
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { Frame } from "./frame.ts";

export interface Source extends Disposable {
  /** For people: "/dev/video0 (vivid)", "testsrc:bars". */
  readonly name: string;
  /** What the frames are, as the hello describes it. */
  readonly picture: Picture;
  /** Frames per second, where known. */
  readonly fps: number | undefined;
  /** One frame per buffer, for the life of the source. */
  readonly frames: readonly Frame[];
  /** Readable (or with urgent data) when `next` has something to say. */
  readonly fd: number;
  /** Frames lost before they reached us: gaps in the sequence. */
  readonly drops: number;
  /** Damaged frames, taken back and not handed out. */
  readonly errors: number;
  /** Makes a frame whenever it is asked: there always is a next one, and none waits. */
  readonly onDemand?: boolean;
  /** How the buffers are made: "dmabuf", "mmap", "memfd". */
  readonly memory: string;
  /** Takes the private ioctls of its driver, where there is a driver. */
  readonly device?: IoctlDevice;
  /**
   * The memory of frame `index` as a new descriptor, the picture at its beginning. Throws UnavailableError where
   * the picture is not in one piece or its memory cannot be passed on.
   */
  share(index: number): Fd;
  /** Starts the stream; after `stop` again. */
  start(): void;
  /** Stops the stream; frames on loan may still be read until they are disposed. */
  stop(): void;
  /** The next frame, on loan; undefined when there is none yet. Throws SourceEnded. */
  next(): Frame | undefined;
  /** To be called when `fd` has urgent data: something has happened to the source. Throws SourceEnded. */
  urgent?(): void;
}

/**
 * The newest of the frames that wait; older ones go straight back, `passed` is told how many. No more are taken
 * than the source has buffers: one that always has another frame ready must not be drained for ever.
 */
export function newest(source: Source, passed: (frames: number) => void): Frame | undefined {
  let frame = source.next();
  if (source.onDemand) return frame;
  try {
    for (let taken = 1; frame !== undefined && taken < source.frames.length; taken++) {
      const next = source.next();
      if (next === undefined) break;
      frame[Symbol.dispose]();
      frame = next;
      passed(1);
    }
  } catch (error) {
    frame?.[Symbol.dispose]();
    throw error;
  }
  return frame;
}

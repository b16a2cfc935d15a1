// A source of frames: a camera, a recording, the built-in test source. The senders treat all of them alike.
import type { Fd } from "../../ffi/fd.ts";
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { Frame } from "./frame.ts";

/** Calls a handler for events of a source: the watch of its descriptor, or of a branch of it. */
export interface SourceWatch extends Disposable {
  /** Changes the events to wait for; 0 suspends the watch. */
  setEvents(events: number): void;
}

export interface Source extends Disposable {
  /** Name for messages: "/dev/video0 (vivid)", "testsrc:bars". */
  readonly name: string;
  /** Size and format of the frames, as sent in the hello. */
  readonly picture: Picture;
  /** Frames per second; undefined if not known. */
  readonly fps: number | undefined;
  /** One frame per buffer; the same ones for the life of the source. */
  readonly frames: readonly Frame[];
  /** Readable when `next` has a frame; has urgent data when `urgent` must be called. */
  readonly fd: number;
  /** Where it is set, `fd` is not watched: this calls `handler` with EPOLLIN and EPOLLPRI as a watch of `fd` would. */
  watch?(handler: (events: number) => void): SourceWatch;
  /** Frames lost before `next`: gaps in the sequence. */
  readonly drops: number;
  /** Damaged frames; they are requeued and never returned by `next`. */
  readonly errors: number;
  /** `next` always makes a new frame, so no frames wait. */
  readonly onDemand?: boolean;
  /** It keeps its next frame until it is asked: who asks late loses nothing. Set for recordings that come through a pipe. */
  readonly waits?: boolean;
  /** No frame will follow: a recording was played once, or a pipe has ended. `fd` is readable then. */
  readonly exhausted?: boolean;
  /** Memory type of the buffers: "dmabuf", "mmap", "memfd". */
  readonly memory: string;
  /** The device, for private ioctls of its driver; undefined without a device. */
  readonly device?: IoctlDevice;
  /**
   * A new descriptor for the memory of frame `index`; the picture is at its beginning. Throws UnavailableError if the
   * picture is not contiguous or its memory has no descriptor to pass.
   */
  share(index: number): Fd;
  /** Starts the stream; also restarts it after `stop`. */
  start(): void;
  /** Stops the stream. Frames on loan may still be read until they are disposed. */
  stop(): void;
  /** The next frame, on loan; undefined if there is none yet. Throws SourceEnded. */
  next(): Frame | undefined;
  /** Call when `fd` has urgent data: reads the events of the source. Throws SourceEnded. */
  urgent?(): void;
}

/**
 * The newest of the waiting frames. Older ones are returned to the source at once, and `passed` is called with their number.
 * At most as many are taken as the source has buffers, so that a fast source cannot keep this loop busy.
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

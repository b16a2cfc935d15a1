// Sources whose buffers can be shared: in memory of the way to share, or with descriptors of their own. Where a driver cannot
// do that, each picture is copied once.
import { log } from "../cli/log.ts";
import { MemoryRefused, UnavailableError } from "../errors.ts";
import { type Allocator, memfdAllocator } from "../frame/memory.ts";
import type { Source } from "../frame/source.ts";
import { CopyingSource } from "./copying.ts";

/** Opens the source with buffers of one memory type; for "userptr" `allocator` provides the memory. */
export type OpenWith = (memory: "auto" | "mmap" | "userptr", allocator?: Allocator) => Source;

/** Memory in which buffers are placed. */
export interface Place extends Allocator {
  /** Frees buffers that were disposed and still take room. */
  reset?(): void;
}

/** A source with its buffers in `place`. The device writes there, or pictures are copied if it cannot. */
export function openPlaced(open: OpenWith, place: Place): Source {
  try {
    using owned = new DisposableStack();
    const source = owned.use(open("userptr", place));
    if (source.frames.every(({ pieces }) => pieces.length === 1)) {
      owned.move();
      return source;
    }
    log.warn(`${source.name}: its pictures are not in one piece; each is copied once`);
  } catch (error) {
    if (!(error instanceof MemoryRefused)) throw error;
    log.warn(`${error.message}; each picture is copied once into ${place.name}`);
  }
  place.reset?.();
  return new CopyingSource(open("mmap"), place);
}

/** A source whose buffers have descriptors; if they have none, pictures are copied to memory that does. */
export function openPassable(open: OpenWith): Source {
  using owned = new DisposableStack();
  const source = owned.use(open("auto"));
  owned.move();
  try {
    source.share(0)[Symbol.dispose]();
    return source;
  } catch (error) {
    if (error instanceof UnavailableError) {
      log.warn(`${error.message}; each picture is copied once`);
      return new CopyingSource(source, memfdAllocator);
    }
    source[Symbol.dispose]();
    throw error;
  }
}

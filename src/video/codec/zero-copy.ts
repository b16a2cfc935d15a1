// The choice between USERPTR, where the decoder works on guest memory itself, and MMAP with one copy.
import { SysError } from "../../../ffi/errno.ts";
import { log } from "../../cli/log.ts";
import { type M2mQueue, MAX_BUFFERS } from "../../v4l2/m2m-queue.ts";
import type { Resource } from "../resource.ts";

/** Whether a queue that needs `bytes` per buffer could work on that resource's memory as it is. */
export function canShare(resource: Resource, bytes: number): boolean {
  return resource.contiguous !== undefined && resource.length >= bytes;
}

/**
 * Makes the buffers of a queue: USERPTR when `share` and the driver takes it, else `count` of the driver's own.
 * Says once for a queue what was chosen. Throws SysError.
 */
export function makeBuffers(
  queue: M2mQueue,
  options: {
    readonly name: string;
    readonly share: boolean;
    readonly count: number;
    readonly planes: number;
  },
): void {
  const { name, share, count, planes } = options;
  const tell = (what: string) => {
    if (what === queue.told) return; // buffers are made anew at every change
    queue.told = what;
    log.withTag("video").debug(`${queue.device.path} ${name}: ${what}`);
  };
  if (share) {
    try {
      queue.makeUserPointers(MAX_BUFFERS);
      tell("USERPTR, on guest memory");
      return;
    } catch (error) {
      if (!(error instanceof SysError)) throw error;
    }
  }
  queue.makeMapped(count, planes);
  tell(`MMAP, ${queue.count} buffers, one copy`);
}

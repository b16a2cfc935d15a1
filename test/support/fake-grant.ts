// What the stand-ins of xen-gntalloc and xen-gntdev have in common: granted pages, answers to ioctls, mappings.
import type { SysError } from "../../ffi/errno.ts";
import type { Fd } from "../../ffi/fd.ts";
import type { Ioctl } from "../../ffi/ioctl.ts";
import type { Mapping } from "../../ffi/mapping.ts";
import type { Fields } from "../../ffi/struct.ts";
import type { AllocFile } from "./fake-gntalloc.ts";
import type { FakeDomain } from "./fake-xen.ts";

export const PAGE = 4096;

/** A granted page: struct gntalloc_gref. */
export interface Grant {
  readonly reference: number;
  readonly owner: number;
  readonly peer: number;
  readonly readOnly: boolean;
  /** The file that it belongs to; a grant of another driver has none. */
  readonly file?: AllocFile;
  /** The pages that were allocated together. */
  readonly memory: Fd;
  /** Where the page is in `memory`, and in the file. */
  readonly at: number;
  readonly offset: number;
  /** The open file and each mapping of this domain. At 0 it waits for the peer. */
  users: number;
  /** Mappings of the peer. */
  mapped: number;
  /** The driver has given it up, and the grant table waits for the peer. */
  deferred?: boolean;
}

/** Answers an ioctl as the call does. */
export function serve<F extends Fields>(
  domain: FakeDomain,
  request: Ioctl<F>,
  path: string,
  answer: () => number,
): number {
  try {
    domain.check(request.name, path);
  } catch (error) {
    return -(error as SysError).errno;
  }
  return answer();
}

/** A mapping that calls `closed` when it is unmapped, as a driver's vm_operations are called. */
export function watched(mapping: Mapping, closed: () => void): Mapping {
  const unmap = mapping[Symbol.dispose].bind(mapping);
  let open = true;
  Object.defineProperty(mapping, Symbol.dispose, {
    value: () => {
      unmap();
      if (open) closed();
      open = false;
    },
  });
  return mapping;
}

/** The first of pages that one mapping can have. */
export function firstOf(grants: readonly Grant[]): Grant {
  const [first] = grants;
  const together = grants.every(
    ({ memory, at }, i) => memory === first?.memory && at === first.at + i * PAGE,
  );
  if (first === undefined || !together)
    throw new Error("the stand-in maps pages of one buffer in their order");
  return first;
}

// Whether what a stream wants to grant has room: in a handle's message, under the limit of xen-gntalloc, in the domain's grant table.
import { pageSize } from "../../ffi/mapping.ts";
import { counted } from "../cli/counted.ts";
import { log } from "../cli/log.ts";
import { UnavailableError } from "../errors.ts";
import { MAX_REFERENCES } from "../frame/sharing.ts";
import { GNTALLOC, GRANT_BYTES, PAGE_LIMIT, type XenDomain } from "./xen-domain.ts";

/** Grant references of a buffer of `bytes`. */
export const referencesFor = (bytes: number) => Math.ceil(bytes / GRANT_BYTES);

/** Entries of a domain's grant table by default in many versions of Xen; others have twice as many. Linux does not say it. */
const SMALL_TABLE = 16_384;
/**
 * The limit that is recommended at most. It leaves entries for disks and networks: when the table was full once, xen-gntalloc of
 * Linux 6.12 refuses all later allocations.
 */
const SAFE_LIMIT = 14_336;
const recommendedLimits = [8192, SAFE_LIMIT];

/** What can be done when `limit` is too small for `pages`, or for them and those of other programs. */
function raiseLimit(pages: number, limit = 0): string {
  const less = "use a smaller picture or fewer --buffers";
  const larger = recommendedLimits.find((each) => each >= pages && each > limit);
  if (larger !== undefined) return `raise it (echo ${larger} > ${PAGE_LIMIT}), or ${less}`;
  return `${less}: more would fill a grant table of ${SMALL_TABLE} entries, which many domains have`;
}

const LARGER_TABLE = "give the domain a larger one (max_grant_frames in its xl configuration)";

/** What a stream wants to grant. */
export interface Demand {
  /** Buffers of `bytes`. */
  readonly buffers: number;
  readonly bytes: number;
  /** Pages of buffers that it has already, of whatever size: the planes of a picture differ. */
  readonly held: number;
}

export const pagesOf = ({ buffers, bytes, held }: Demand) => held + buffers * referencesFor(bytes);

function needs(demand: Demand): string {
  const { buffers, bytes, held } = demand;
  const each = referencesFor(bytes);
  const first = held === 0 ? "" : `${held} pages and `;
  const sum = held === 0 ? `${buffers} x ${each}` : `${held} + ${buffers * each}`;
  return `${first}${counted(buffers, "buffer")} of ${bytes} bytes need ${sum} = ${pagesOf(demand)} pages`;
}

/**
 * Checks whether the buffers have room in their handles, and under the limit of xen-gntalloc. Warns when they take more than
 * half of a small grant table. Throws UnavailableError.
 */
export function checkRoom(demand: Demand, xen: XenDomain): void {
  const { bytes } = demand;
  if (pageSize !== GRANT_BYTES) {
    throw new UnavailableError(
      `--share xen-grant needs pages of ${GRANT_BYTES} bytes, this kernel has pages of ${pageSize}; choose another --share`,
    );
  }
  const references = referencesFor(bytes);
  if (references > MAX_REFERENCES) {
    throw new UnavailableError(
      `a buffer of ${bytes} bytes needs ${references} grant references, a handle carries ${MAX_REFERENCES}; choose a smaller picture`,
    );
  }
  const pages = pagesOf(demand);
  const limit = xen.pageLimit();
  if (limit !== undefined && pages > limit) {
    throw new UnavailableError(
      `${GNTALLOC}: ${needs(demand)}, its limit is ${limit}; ${raiseLimit(pages, limit)}`,
    );
  }
  if (pages > SMALL_TABLE / 2) {
    log.warn(
      `${needs(demand)}: many domains have a grant table of ${SMALL_TABLE} entries, which their disks and networks use as well`,
    );
  }
}

/** What to do about ENOSPC though the pages are within the limit. */
export function noRoomAdvice(demand: Demand, limit: number | undefined): string {
  const pages = pagesOf(demand);
  const most = limit === undefined ? "" : ` of ${limit}`;
  return `${needs(demand)}: other programs of this domain have the rest of the limit${most}, ${raiseLimit(pages, limit)}; or the domain's grant table is full, ${LARGER_TABLE}`;
}

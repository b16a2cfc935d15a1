// Whether what a stream wants to grant has room: in a handle's message, under the limit of xen-gntalloc.
import { pageSize } from "../../ffi/mapping.ts";
import { log } from "../cli/log.ts";
import { UnavailableError } from "../errors.ts";
import { MAX_REFERENCES } from "../frame/sharing.ts";
import { GNTALLOC, GRANT_BYTES, PAGE_LIMIT } from "./xen-domain.ts";

/** Grant references of a buffer of `bytes`. */
export const referencesFor = (bytes: number) => Math.ceil(bytes / GRANT_BYTES);

/** What can be done when pages are missing. */
function raiseLimit(pages: number): string {
  let limit = 8192;
  while (limit < 2 * pages) limit *= 2;
  return `raise it (echo ${limit} > ${PAGE_LIMIT}), or use a smaller picture or fewer --buffers`;
}

const needs = (buffers: number, bytes: number) => {
  const each = referencesFor(bytes);
  return `${buffers} buffers of ${bytes} bytes need ${buffers} x ${each} = ${buffers * each} pages`;
};

/**
 * Entries of a domain's grant table: 32 frames of 512, Xen's default. What a domain really has, and how many entries its disks
 * and networks use, no file of Linux says.
 */
const DEFAULT_TABLE = 16_384;

/** Warns when a stream takes more than half of the table that a domain has by default. */
export function warnOfTable(buffers: number, bytes: number): void {
  const pages = buffers * referencesFor(bytes);
  if (pages <= DEFAULT_TABLE / 2) return;
  log.warn(
    `${needs(buffers, bytes)}: a domain has ${DEFAULT_TABLE} grant references by default, for its disks and networks as well`,
  );
}

/** Throws UnavailableError when `buffers` buffers of `bytes` have no room under `limit`, or one has none in its handle. */
export function checkRoom(buffers: number, bytes: number, limit: number | undefined): void {
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
  const pages = buffers * references;
  if (limit === undefined || pages <= limit) return;
  throw new UnavailableError(
    `${GNTALLOC}: ${needs(buffers, bytes)}, its limit is ${limit}; ${raiseLimit(pages)}`,
  );
}

/** What to do about ENOSPC though the pages are within the limit: `free` of them could be had. */
export function noRoomAdvice(buffers: number, bytes: number, free: number): string {
  const pages = buffers * referencesFor(bytes);
  return `${needs(buffers, bytes)}, ${free} are free: other programs of this domain have the rest of the limit, ${raiseLimit(pages)}; or the domain's grant table is full (max_grant_frames in its xl configuration)`;
}

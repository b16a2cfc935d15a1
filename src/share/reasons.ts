// What --share auto says: which way it took, and what the others lack.
import { SysError } from "../../ffi/errno.ts";
import { UnavailableError } from "../errors.ts";

/** A way that was not taken, and why, in a few words. */
export interface NotTaken {
  readonly name: string;
  readonly why: string;
}

/** The failed call of an error without its advice, which is for those who asked for this way. Throws all other errors. */
export function shortly(error: unknown): string {
  if (!(error instanceof UnavailableError)) throw error;
  return error.cause instanceof SysError ? error.cause.message : error.message;
}

/** "virtio-media and xen-grant (no --domid), dax (no --region)" */
export function listed(others: readonly NotTaken[]): string {
  const groups: { names: string; why: string }[] = [];
  for (const { name, why } of others) {
    const last = groups.at(-1);
    if (last?.why === why) last.names += ` and ${name}`;
    else groups.push({ names: name, why });
  }
  return groups.map(({ names, why }) => `${names} (${why})`).join(", ");
}

/** The same as the end of a sentence, or nothing. */
export const butNot = (others: readonly NotTaken[]): string =>
  others.length === 0 ? "" : `; not ${listed(others)}`;

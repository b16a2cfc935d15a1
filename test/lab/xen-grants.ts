// The grants that are mapped at the moment, as the hypervisor prints them for `xl debug-keys g`: gnttab_usage_print_all in
// xen/common/grant_table.c.

import type { Guest } from "./guest.ts";

/** A page of one domain that another domain has mapped. */
export interface MappedGrant {
  /** The domain that the page belongs to. */
  readonly owner: number;
  /** The domain that has mapped it. */
  readonly user: number;
  readonly reference: number;
  /** It was granted for reading only (GTF_readonly), and it is mapped so. */
  readonly readOnly: boolean;
}

const printed = "gnttab_usage_print_all ] done";
const timeoutMs = 30_000;
/** GTF_readonly of <xen/grant_table.h>. */
const GTF_READONLY = 4;
/** Bits of "pin" that count mappings for writing: of the processor in the lowest byte, of devices in the third. */
const WRITERS = 0x00ff00ff;

/** Asks the hypervisor, and waits until all is on its console. */
export async function mappedGrants(dom0: Guest): Promise<readonly MappedGrant[]> {
  const before = dom0.console().length;
  await dom0.ok("xl debug-keys g", { timeoutMs });
  const lateMs = performance.now() + timeoutMs;
  for (;;) {
    const text = dom0.console().slice(before);
    if (text.includes(printed)) return parseGrants(text);
    if (performance.now() > lateMs) throw new Error(`no "${printed}" in ${timeoutMs} ms`);
    await Bun.sleep(20);
  }
}

/** The rows of all tables. */
export function parseGrants(text: string): readonly MappedGrant[] {
  const line =
    /grant-table for remote d(?<owner>\d+)|\[0x(?<ref>[0-9a-f]+)\] +(?<user>\d+) 0x[0-9a-f]+ 0x(?<pin>[0-9a-f]+) +\d+ 0x[0-9a-f]+ 0x(?<flags>[0-9a-f]+)/g;
  const grants: MappedGrant[] = [];
  let owner = 0;
  for (const { groups = {} } of text.matchAll(line)) {
    const { owner: title, ref = "", user, pin = "", flags = "" } = groups;
    if (title !== undefined) owner = Number(title);
    else {
      const writers = Number.parseInt(pin, 16) & WRITERS;
      const readOnly = (Number.parseInt(flags, 16) & GTF_READONLY) !== 0 && writers === 0;
      grants.push({ owner, user: Number(user), reference: Number.parseInt(ref, 16), readOnly });
    }
  }
  return grants;
}

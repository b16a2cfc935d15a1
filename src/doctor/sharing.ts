// The ways to share frame memory, as `framepass share status` finds them.
import type { WayStatus } from "../share/status.ts";
import { type Finding, limited, ok } from "./finding.ts";

/** What a way lacks on either side; with nothing missing, what was found. */
export function wayFinding({ between, send, receive, facts }: WayStatus): Finding {
  const found = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  if (send === undefined && receive === undefined) return ok([between, ...found].join("; "));
  if (send === receive) return limited(`${send}`);
  return limited(`send: ${send ?? "yes"}; receive: ${receive ?? "yes"}`);
}

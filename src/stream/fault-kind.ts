// What makes two faults of a connection the same, for the log that counts repeated lines.
import { failureFields } from "../errors.ts";

/**
 * The kind of a fault: its class, errno, and text up to the first number. What follows may be chosen by the peer, so that each
 * fault would be a line of its own. `peer` is the name of the other end, which may have a port.
 */
export function faultKind(error: unknown, peer: string): string {
  const { class: name, errno = "", message } = failureFields(error);
  const text = String(message)
    .replaceAll(peer, "")
    .replace(/^(\w+) \d+:/, "$1:") // "handle 5: ..."
    .replace(/\d.*$/s, "");
  return `${name} ${errno} ${text}`;
}

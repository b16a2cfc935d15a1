// --socket-group and --socket-mode: who may connect to a Unix socket that a tool makes.
import { readFileSync } from "node:fs";
import type { SocketAccess } from "../../../ffi/socket-access.ts";
import { inGroup } from "../../cli/groups.ts";
import type { Options } from "../../cli/options.ts";
import { nearest, probablyMeant } from "../../cli/suggest.ts";
import { UsageError } from "../../errors.ts";

export const accessOptions = inGroup("connection", {
  "socket-group": {
    type: "text",
    value: "GROUP",
    help: "group of the Unix socket, a name of /etc/group or a number",
  },
  "socket-mode": {
    type: "text",
    value: "MODE",
    pattern: [/^0?[0-7]{3}$/, "three octal digits like 660"],
    help: "permissions of the Unix socket, octal; who may write to it may connect; without it 660 if there is --socket-group, otherwise the umask decides",
  },
} as const satisfies Options);

export interface AccessValues {
  readonly "socket-group": string | undefined;
  readonly "socket-mode": string | undefined;
}

/** With a group and without a mode: the owner and the group. */
const GROUP_MODE = 0o660;
/** chown(2) takes the highest number for "unchanged". */
const LARGEST_GROUP = 0xffff_fffe;
const GROUPS = "/etc/group";

/** What was asked for; undefined without one of the options. Throws UsageError. */
export function readSocketAccess(
  { "socket-group": name, "socket-mode": mode }: AccessValues,
  groups = groupsOf(GROUPS),
): SocketAccess | undefined {
  if (name === undefined && mode === undefined) return undefined;
  return {
    mode: mode === undefined ? GROUP_MODE : Number.parseInt(mode, 8),
    group: name === undefined ? undefined : groupNumber(name, groups),
  };
}

/** The option that asks for an access; undefined without one. */
export const accessOption = (values: AccessValues): string | undefined =>
  (["socket-group", "socket-mode"] as const).find((name) => values[name] !== undefined);

/** Group numbers by name; group(5). Empty where the file cannot be read. */
function groupsOf(path: string): ReadonlyMap<string, number> {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch {
    // Groups are given by number then.
  }
  return readGroups(text);
}

export const readGroups = (text: string): ReadonlyMap<string, number> =>
  new Map(
    [...text.matchAll(/^([^:\n]+):[^:\n]*:(\d+):/gm)].map(([, name = "", number]) => [
      name,
      Number(number),
    ]),
  );

function groupNumber(name: string, groups: ReadonlyMap<string, number>): number {
  const known = groups.get(name);
  if (known !== undefined) return known;
  if (/^\d+$/.test(name)) {
    if (Number(name) <= LARGEST_GROUP) return Number(name);
    throw new UsageError(`--socket-group must be 0 to ${LARGEST_GROUP} or a name, got "${name}"`);
  }
  const meant = probablyMeant(nearest(name, [...groups.keys()]));
  throw new UsageError(
    `--socket-group: there is no group "${name}" in ${GROUPS}${meant}; a group from elsewhere is given by its number (getent group ${name})`,
  );
}

// What `framepass doctor` finds, a line each.
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { UnavailableError } from "../errors.ts";

/** "limited": the tools run, and something that they can do is not possible here. */
export type State = "ok" | "limited" | "missing";

export interface Finding {
  readonly state: State;
  /** One line: what is there; or what is missing, why, and the command that helps. */
  readonly text: string;
}

export const ok = (text: string): Finding => ({ state: "ok", text });
export const limited = (text: string): Finding => ({ state: "limited", text });
export const missing = (text: string): Finding => ({ state: "missing", text });

/** Opens something and closes it again: "ok" with what `found` says, or "missing" with the reason of the UnavailableError. */
export function tried<T extends Disposable>(open: () => T, found: (opened: T) => string): Finding {
  try {
    using opened = open();
    return ok(found(opened));
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return missing(error.message);
  }
}

/** The same finding, where it is no obstacle: "limited" in the place of "missing". */
export const optional = (finding: Finding): Finding =>
  finding.state === "missing" ? limited(finding.text) : finding;

/** A file as `deviceFile` needs it; undefined: it is not there. Tests have others. */
export interface FileAccess {
  readonly mode: number;
  readonly gid: number;
  /** Whether this user may read and write it. */
  readonly open: boolean;
}

/** Whether this user may read and write a device file. `todo` is what helps where it is not there. */
export function deviceFile(path: string, todo: string, file = accessTo(path)): Finding {
  if (file === undefined) return missing(`${path} is not there: ${todo}`);
  if (file.open) return ok(path);
  const helps = (file.mode & 0o060) === 0o060 && file.gid !== 0;
  const join = `sudo usermod -aG ${groupName(file.gid)} "$USER", and log in again`;
  return missing(`${path} may not be opened by this user: ${helps ? join : "run as root"}`);
}

function accessTo(path: string): FileAccess | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return { mode: stat.mode, gid: stat.gid, open: true };
  } catch {
    return { mode: stat.mode, gid: stat.gid, open: false };
  }
}

/** The name of a group; its number where it has none. */
export function groupName(gid: number, file = "/etc/group"): string {
  const row = new RegExp(`^([^:\\n]+):[^:\\n]*:${gid}:`, "m");
  return row.exec(readIf(file))?.[1] ?? String(gid);
}

/** The text of a file; empty where it cannot be read. */
export function readIf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

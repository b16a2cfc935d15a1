// The cookie with which this user may connect to an X server, out of the file that xauth(1) writes: Xau, "Xauthority file format".
import { readFileSync } from "node:fs";
import { join } from "node:path";

const KIND = "MIT-MAGIC-COOKIE-1";

/** The cookie for the display of that number; empty without one: a server may still accept this user. */
export function x11Cookie(
  env: Readonly<Record<string, string | undefined>>,
  number: string,
): Uint8Array {
  const { XAUTHORITY: named, HOME: home = "" } = env;
  const entries = readEntries(named || join(home, ".Xauthority"));
  const found = entries.find((e) => e.kind === KIND && (e.number === number || e.number === ""));
  return found?.cookie ?? new Uint8Array();
}

interface Entry {
  readonly number: string;
  readonly kind: string;
  readonly cookie: Uint8Array;
}

/** An entry is a family (16 bits), then address, number, kind and cookie, each after its length in 16 bits, big-endian. */
function readEntries(path: string): Entry[] {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch {
    return [];
  }
  const entries: Entry[] = [];
  let at = 0;
  const field = (): Buffer => {
    const length = file.readUInt16BE(at);
    at += 2 + length;
    return file.subarray(at - length, at);
  };
  try {
    while (at + 2 < file.length) {
      at += 2;
      field();
      entries.push({ number: `${field()}`, kind: `${field()}`, cookie: field() });
    }
  } catch {
    return entries; // the file is cut off
  }
  return entries;
}

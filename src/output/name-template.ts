// Names of --output and --camera for several senders: %n is the sender's number, %a its address, %% a per cent sign.
import { UsageError } from "../errors.ts";

/** What a name gets its parts from. */
export interface NameParts {
  readonly number: number;
  /** A file name made of the address. */
  readonly address: string;
}

const DIRECTIVE = /%(.?)/gs;

/** The name of one sender. Throws UsageError for another letter after "%". */
export function expandName(template: string, { number, address }: NameParts): string {
  return template.replace(DIRECTIVE, (directive, letter: string) => {
    if (letter === "n") return `${number}`;
    if (letter === "a") return address;
    if (letter === "%") return "%";
    throw new UsageError(
      `"${template}": ${directive} has no meaning; %n is the sender's number, %a its address, %% a per cent sign`,
    );
  });
}

/** Whether a name has the letter after a per cent sign: "n" or "a". */
export const hasPart = (template: string, part: "n" | "a"): boolean =>
  [...template.matchAll(DIRECTIVE)].some(([, letter]) => letter === part);

/**
 * The host in a peer's name, as a part of a file name: "10.0.0.5", "fe80--1-2", "vsock-3", "unix". It has letters, digits, dots
 * and dashes, and begins with a letter or a digit.
 */
export const addressPart = (host: string): string =>
  host.replaceAll(/[^A-Za-z0-9.-]/g, "-").replace(/^(?![A-Za-z0-9])/, "0");

/** The host in the name of a socket's address, without the port: "10.0.0.5" of "10.0.0.5:4000". */
export function hostOf(name: string): string {
  const [, inBrackets] = /^\[(.*)\]:\d+$/.exec(name) ?? [];
  return inBrackets ?? name.replace(/:\d+$/, "");
}

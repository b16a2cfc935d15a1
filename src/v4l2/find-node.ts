// Finds a device by what people call it: a node, a name in /dev/v4l/by-id or by-path, or the name of its card.
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { SysError } from "../../ffi/errno.ts";
import { UnavailableError } from "../errors.ts";
import { openNode, queryCapability, type VideoDevice } from "./device.ts";
import { abilitiesOf, type Kind } from "./kinds.ts";

/** The host as `findNode` needs it. Tests have another. */
export interface NodeHost {
  /** "/dev". */
  readonly directory: string;
  /** Opens a node without waiting. Throws SysError. */
  readonly open: (path: string) => VideoDevice;
}
export const thisHost: NodeHost = { directory: "/dev", open: openNode };

const linkDirectories = ["v4l/by-id", "v4l/by-path"] as const;

/** Sorts entries of a directory; empty without the directory or the right to read it. */
function entriesOf(path: string): readonly string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** The paths of all video nodes, /dev/video0 first. */
export function videoNodes(directory = thisHost.directory): readonly string[] {
  const numbers = entriesOf(directory).flatMap((name) => /^video(\d+)$/.exec(name)?.[1] ?? []);
  return numbers
    .sort((a, b) => Number(a) - Number(b))
    .map((number) => join(directory, `video${number}`));
}

/** The names that udev gives a node: of /dev/v4l/by-id, then of by-path. */
export function linksTo(node: string, directory = thisHost.directory): Readonly<Names> {
  const [byId = [], byPath = []] = linkDirectories.map((links) =>
    entriesOf(join(directory, links)).filter(
      (name) => target(join(directory, links, name)) === node,
    ),
  );
  return { byId, byPath };
}

export interface Names {
  readonly byId: readonly string[];
  readonly byPath: readonly string[];
}

function target(link: string): string | undefined {
  try {
    return realpathSync(link);
  } catch {
    return undefined; // a link to nothing
  }
}

/**
 * The path of the device that `name` means. An existing path is taken as it is; then come names in by-id and by-path, "video2"
 * or "2", and the name of a card that is one of `kinds`. Without a match it is `name` itself, so that opening it says what is
 * missing. Throws UnavailableError when several devices have that card.
 */
export function findNode(name: string, kinds: readonly Kind[], host: NodeHost = thisHost): string {
  if (existsSync(name) || /^\.{0,2}\//.test(name)) return name;
  const { directory } = host;
  const node = /^\d+$/.test(name) ? `video${Number(name)}` : name;
  const paths = [...linkDirectories.map((links) => join(links, name)), node];
  const found = paths.find((path) => !path.includes("..") && existsSync(join(directory, path)));
  if (found !== undefined && (found !== node || /^video\d+$/.test(node)))
    return join(directory, found);
  const same = nodesOf(kinds, host, name.trim());
  if (same.length <= 1) return same[0] ?? name;
  throw new UnavailableError(
    `"${name}" is the card of ${same.join(", ")}; name one of them, or its name in ${directory}/v4l/by-id`,
  );
}

/** The paths of the nodes that are one of `kinds`, and have that card where one is named. */
export function nodesOf(
  kinds: readonly Kind[],
  host: NodeHost = thisHost,
  card?: string,
): readonly string[] {
  return videoNodes(host.directory).filter((path) => isOneOf(path, kinds, host, card));
}

/** A node that cannot be opened or asked is none. */
function isOneOf(path: string, kinds: readonly Kind[], host: NodeHost, card?: string): boolean {
  try {
    using device = host.open(path);
    const answer = queryCapability(device);
    if (card !== undefined && answer.card !== card) return false;
    return abilitiesOf(device, answer.flags).kinds.some((kind) => kinds.includes(kind));
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}

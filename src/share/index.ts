// The ways to share frame memory, a row each, in the order in which --share auto tries them.
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import { log } from "../cli/log.ts";
import { UnavailableError, UsageError } from "../errors.ts";
import { type Handle, type Importer, type SharedSource, shareSource } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";
import { exportRegion, importRegion, RegionAllocator } from "./dax.ts";
import { exportDescriptors, importDescriptors } from "./fd.ts";
import { GrantAllocator } from "./grant-allocator.ts";
import { type OpenWith, openPassable, openPlaced } from "./placed.ts";
import { butNot, listed, type NotTaken, shortly } from "./reasons.ts";
import {
  exportFailure,
  exportVirtioMedia,
  importIfMapping,
  importVirtioMedia,
} from "./virtio-media.ts";
import type { XenDomain } from "./xen-domain.ts";
import { exportGrants, importGrants } from "./xen-grant.ts";

/** The sender's options. */
export interface SendOptions {
  readonly open: OpenWith;
  /** How many buffers the source is asked for. */
  readonly buffers?: number;
  /** The receiver's Xen domain. */
  readonly domain: number | undefined;
  /** The dax device of the region. */
  readonly region: string | undefined;
  /** Whether the connection is a Unix socket. */
  readonly local: boolean;
  /** For tests. */
  readonly xen?: XenDomain;
}

/** The receiver's options. */
export interface ReceiveOptions {
  readonly openDevice: () => IoctlDevice & Disposable;
  readonly region: string | undefined;
  readonly local: boolean;
  /** For tests. */
  readonly xen?: XenDomain;
}

export type WayName = "virtio-media" | "xen-grant" | "dax" | "fd";

interface Way {
  readonly name: WayName;
  readonly kind: Handle["kind"];
  /** Opens a source and exports its buffers. Throws UnavailableError or UsageError. */
  send(options: SendOptions): SharedSource;
  /** The same for auto: returns what the options or this host lack, in a few words. */
  offer(options: SendOptions): SharedSource | string;
  /** Opens the importer. Throws UnavailableError or UsageError. */
  receive(options: ReceiveOptions): Importer;
  /** The same for auto: returns what the options or this host lack. */
  accept(options: ReceiveOptions): Importer | string;
}

const NO_DOMAIN = "no --domid";
const NO_REGION = "no --region";
const NOT_LOCAL = "the address is not unix:/path";
/** What the options lack; all else is found by trying. */
const lacks: ReadonlySet<string> = new Set([NO_DOMAIN, NO_REGION, NOT_LOCAL]);

const ways: readonly Way[] = [
  {
    name: "virtio-media",
    kind: "grants",
    send({ open, domain }) {
      const granted = needDomain(domain, "virtio-media");
      return shareDriver(open("mmap"), granted);
    },
    offer({ open, domain }) {
      if (domain === undefined) return NO_DOMAIN;
      const source = open("mmap");
      const { device, name } = source;
      const failure = device === undefined ? `${name}: no driver behind it` : exportFailure(device);
      if (failure === undefined) return shareDriver(source, domain);
      source[Symbol.dispose]();
      return typeof failure === "string" ? failure : failure.message;
    },
    receive: ({ openDevice }) => importVirtioMedia(openDevice()),
    accept: ({ openDevice }) => attempt(() => importIfMapping(openDevice())),
  },
  {
    name: "xen-grant",
    kind: "grants",
    send: (options) => shareGrants(options, openGrants(options)),
    offer(options) {
      if (options.domain === undefined) return NO_DOMAIN;
      const grants = attempt(() => openGrants(options));
      return typeof grants === "string" ? grants : shareGrants(options, grants);
    },
    receive: ({ xen }) => importGrants(xen),
    accept: ({ xen }) => attempt(() => importGrants(xen)),
  },
  {
    name: "dax",
    kind: "region",
    send({ open, region: path }) {
      using owned = new DisposableStack();
      const region = owned.use(new RegionAllocator(needRegion(path)));
      const source = openPlaced(open, region);
      owned.move();
      return shareSource(source, (of) => exportRegion(of, region), region);
    },
    offer(options) {
      return options.region === undefined ? NO_REGION : this.send(options);
    },
    receive: ({ region }) => importRegion(needRegion(region)),
    accept(options) {
      return options.region === undefined ? NO_REGION : this.receive(options);
    },
  },
  {
    name: "fd",
    kind: "descriptor",
    send({ open, local }) {
      needLocal(local);
      return shareSource(openPassable(open), exportDescriptors);
    },
    offer(options) {
      return options.local ? this.send(options) : NOT_LOCAL;
    },
    receive({ local }) {
      needLocal(local);
      return importDescriptors();
    },
    accept(options) {
      return options.local ? this.receive(options) : NOT_LOCAL;
    },
  },
];

/** The values of --share. */
export const shareNames = ["auto", ...ways.map(({ name }) => name)] as const;
export type ShareName = (typeof shareNames)[number];

function needRegion(path: string | undefined): string {
  if (path !== undefined) return path;
  throw new UsageError("--region is required with --share dax (/dev/dax0.0 for example)");
}

function needLocal(local: boolean): void {
  if (local) return;
  throw new UsageError("--share fd needs a unix:/path address: descriptors do not cross a network");
}

function needDomain(domain: number | undefined, share: WayName): number {
  if (domain !== undefined) return domain;
  throw new UsageError(`--domid is required with --share ${share} (the receiver's domain)`);
}

const shareDriver = (source: Source, domain: number) =>
  shareSource(source, (of) => exportVirtioMedia(of, domain));

function openGrants({ domain, buffers = 1, xen }: SendOptions): GrantAllocator {
  return new GrantAllocator({ domain: needDomain(domain, "xen-grant"), buffers, xen });
}

/** Takes ownership of `grants`. */
function shareGrants({ open }: SendOptions, grants: GrantAllocator): SharedSource {
  using owned = new DisposableStack();
  owned.use(grants);
  const source = openPlaced(open, grants);
  owned.move();
  return shareSource(source, (of) => exportGrants(of, grants), grants);
}

/** What `open` opens, or why this host cannot. */
function attempt<T>(open: () => T): T | string {
  try {
    return open();
  } catch (error) {
    return shortly(error);
  }
}

/**
 * Opens the source and exports its buffers according to `--share`. "auto" takes the first way that the options and this host
 * allow. What the options lack is found before the source is opened. Throws UnavailableError or UsageError.
 */
export function openShared(choice: ShareName, options: SendOptions): SharedSource {
  const chosen = ways.find(({ name }) => name === choice);
  if (chosen !== undefined) return chosen.send(options);
  const others: NotTaken[] = [];
  for (const way of ways) {
    const shared = way.offer(options);
    if (typeof shared !== "string") {
      log.info(`--share auto takes ${way.name}${butNot(others)}`);
      return shared;
    }
    others.push({ name: way.name, why: shared });
  }
  const tried = others.filter(({ why }) => !lacks.has(why));
  if (tried.length > 0) {
    throw new UnavailableError(
      `${listed(tried)}; no other way to share its frames: give --region (a dax device of two guests) or an address unix:/path (one machine)`,
    );
  }
  throw new UsageError(
    "no way to share frames: give --domid (Xen), --region (a dax device of two guests) or an address unix:/path (one machine)",
  );
}

/** What to do where no way is possible: few who start a zero-copy receiver are in a Xen domain. */
const OTHER_WAYS =
  "listen on unix:/path (one machine), give --region (a dax device of two guests), or look for what is missing with framepass share status";

/**
 * Opens importers according to `--share`. "auto" opens all that this host and the options allow. Throws UnavailableError
 * or UsageError.
 */
export function openImporters(choice: ShareName, options: ReceiveOptions): readonly Importer[] {
  const chosen = ways.find(({ name }) => name === choice);
  if (chosen !== undefined) return announce([chosen.receive(options)], []);
  using owned = new DisposableStack();
  const importers: Importer[] = [];
  const others: NotTaken[] = [];
  for (const way of ways) {
    const same = importers.find(({ kind }) => kind === way.kind);
    const accepted = same === undefined ? way.accept(options) : `${same.name} takes its handles`;
    if (typeof accepted === "string") others.push({ name: way.name, why: accepted });
    else importers.push(owned.use(accepted));
  }
  if (importers.length === 0) {
    const tried = others.filter(({ why }) => !lacks.has(why));
    throw new UnavailableError(`${listed(tried)}; ${OTHER_WAYS}`);
  }
  owned.move();
  return announce(importers, others);
}

function announce(
  importers: readonly Importer[],
  others: readonly NotTaken[],
): readonly Importer[] {
  const names = importers.map(({ name }) => name).join(" or ");
  log.info(`accepts frames shared by ${names}${butNot(others)}`);
  return importers;
}

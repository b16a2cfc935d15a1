// The ways to share frame memory, a row each, and how --share auto chooses.
import { SysError } from "../../ffi/errno.ts";
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import { log } from "../cli/log.ts";
import { UnavailableError, UsageError } from "../errors.ts";
import { type Importer, type SharedSource, shareSource } from "../frame/sharing.ts";
import { exportRegion, importRegion, RegionAllocator } from "./dax.ts";
import { exportDescriptors, importDescriptors } from "./fd.ts";
import { type OpenWith, openPassable, openPlaced } from "./placed.ts";
import {
  exportFailure,
  exportVirtioMedia,
  importVirtioMedia,
  mapsHandles,
} from "./virtio-media.ts";

/** The sender's options. */
export interface SendOptions {
  readonly open: OpenWith;
  /** The receiver's Xen domain. */
  readonly domain: number | undefined;
  /** The dax device of the region. */
  readonly region: string | undefined;
  /** Whether the connection is a Unix socket. */
  readonly local: boolean;
}

/** The receiver's options. */
export interface ReceiveOptions {
  readonly openDevice: () => IoctlDevice & Disposable;
  readonly region: string | undefined;
  readonly local: boolean;
}

interface Way {
  readonly name: "virtio-media" | "fd" | "dax";
  /** Opens a source and exports its buffers. Throws UnavailableError or UsageError. */
  send(options: SendOptions): SharedSource;
  /** Opens the importer. Throws UnavailableError or UsageError. */
  receive(options: ReceiveOptions): Importer;
}

const ways: readonly Way[] = [
  {
    name: "virtio-media",
    send({ open, domain }) {
      const granted = needDomain(domain);
      return shareSource(open("mmap"), (of) => exportVirtioMedia(of, granted));
    },
    receive: ({ openDevice }) => importVirtioMedia(openDevice()),
  },
  {
    name: "dax",
    send({ open, region: path }) {
      using owned = new DisposableStack();
      const region = owned.use(new RegionAllocator(needRegion(path)));
      const source = openPlaced(open, region);
      owned.move();
      return shareSource(source, (of) => exportRegion(of, region), region);
    },
    receive: ({ region }) => importRegion(needRegion(region)),
  },
  {
    name: "fd",
    send({ open, local }) {
      needLocal(local);
      return shareSource(openPassable(open), exportDescriptors);
    },
    receive({ local }) {
      needLocal(local);
      return importDescriptors();
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

function needDomain(domain: number | undefined): number {
  if (domain !== undefined) return domain;
  throw new UsageError("--domid is required with --share virtio-media (the receiver's domain)");
}

/**
 * Opens the source and exports its buffers according to `--share`. "auto" chooses virtio-media if there is a --domid and
 * the driver exports a buffer. What the options lack is found before the source is opened. Throws UnavailableError or
 * UsageError.
 */
export function openShared(choice: ShareName, options: SendOptions): SharedSource {
  const chosen = ways.find(({ name }) => name === choice);
  if (chosen !== undefined) return chosen.send(options);
  const { domain, region, local } = options;
  const possible = { dax: region !== undefined, fd: local, "virtio-media": false };
  const other = ways.find(({ name }) => possible[name]);
  if (domain === undefined) {
    if (other !== undefined) return other.send(options);
    throw new UsageError(
      "no way to share frames: give --domid (Xen), --region (a dax device of two guests) or an address unix:/path (one machine)",
    );
  }
  const source = options.open("mmap");
  const { device, name } = source;
  const failure = device === undefined ? undefined : exportFailure(device);
  if (device !== undefined && failure === undefined)
    return shareSource(source, (of) => exportVirtioMedia(of, domain));
  source[Symbol.dispose]();
  if (other !== undefined) return other.send(options);
  const why = failure?.message ?? `${name}: no driver behind it`;
  throw new UnavailableError(
    `${why}; no other way to share its frames: give --region (a dax device of two guests) or an address unix:/path (one machine)`,
    { cause: failure },
  );
}

/** Few who start a zero-copy receiver have the driver of its default. */
const NO_CAMERA =
  "without --share virtio-media a receiver needs no device: listen on unix:/path (one machine) or give --region (a dax device of two guests)";

/**
 * Opens importers according to `--share`. "auto" opens all that this host and the options allow. Throws UnavailableError
 * or UsageError.
 */
export function openImporters(choice: ShareName, options: ReceiveOptions): readonly Importer[] {
  const chosen = ways.find(({ name }) => name === choice);
  if (chosen !== undefined) return announce([chosen.receive(options)]);
  using owned = new DisposableStack();
  const importers: Importer[] = [];
  if (options.region !== undefined) importers.push(owned.use(importRegion(options.region)));
  if (options.local) importers.push(importDescriptors());
  try {
    using opened = new DisposableStack();
    const device = opened.use(options.openDevice());
    if (importers.length === 0 || mapsHandles(device)) {
      opened.move();
      importers.push(owned.use(importVirtioMedia(device)));
    }
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    if (importers.length === 0) {
      // Without the error's own advice, which is for cameras.
      const why = error.cause instanceof SysError ? error.cause.message : error.message;
      throw new UnavailableError(`${why}; ${NO_CAMERA}`, { cause: error });
    }
  }
  owned.move();
  return announce(importers);
}

function announce(importers: readonly Importer[]): readonly Importer[] {
  log.info(`accepts frames shared by ${importers.map(({ name }) => name).join(" or ")}`);
  return importers;
}

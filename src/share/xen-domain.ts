// What a Xen domain offers to its programs: the devices of xen-gntalloc and xen-gntdev, the domain's number, the limit of
// pages. Tests have a stand-in (test/support/fake-xen.ts).
import { readFileSync } from "node:fs";
import { errno, SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_RDWR } from "../../ffi/fd.ts";
import { type Ioctl, type IoctlDevice, ioctl } from "../../ffi/ioctl.ts";
import { Mapping } from "../../ffi/mapping.ts";
import type { Fields, Struct, StructType } from "../../ffi/struct.ts";
import { readXenstore } from "../../ffi/xenstore.ts";
import { log } from "../cli/log.ts";

/** Xen keeps the numbers from 32,752 on for itself: xen/include/public/xen.h, DOMID_FIRST_RESERVED. */
export const LAST_DOMAIN = 32_751;
/** Bytes of a page that a grant reference stands for, on every architecture: XEN_PAGE_SIZE. */
export const GRANT_BYTES = 4096;

export const GNTALLOC = "/dev/xen/gntalloc";
export const GNTDEV = "/dev/xen/gntdev";
export const XENBUS = "/dev/xen/xenbus";
/** The most pages that all programs of this domain have from xen-gntalloc at a time. */
export const PAGE_LIMIT = "/sys/module/xen_gntalloc/parameters/limit";
/** What this domain may wait for xenstore, which is in another domain. */
const XENSTORE_MS = 2000;

/** /dev/xen/gntalloc or /dev/xen/gntdev. */
export interface GrantDevice extends IoctlDevice, Disposable {
  /** Maps `length` bytes from an offset that an ioctl answered. Throws SysError. */
  map(length: number, offset: number, protection: number): Mapping;
}

export interface XenDomain {
  /** Opens GNTALLOC or GNTDEV. Throws SysError. */
  open(path: string): GrantDevice;
  /** This domain's number. Throws SysError. */
  number(): number;
  /** The value of PAGE_LIMIT; undefined where it cannot be read. */
  pageLimit(): number | undefined;
}

/** The domain that this program runs in. */
export const thisDomain: XenDomain = {
  open(path) {
    const fd = Fd.open(path, O_RDWR);
    return {
      path,
      ioctl: (request, argument) => ioctl(fd.number, request, argument),
      map: (length, offset, protection) => new Mapping(fd.number, length, path, protection, offset),
      [Symbol.dispose]: () => fd[Symbol.dispose](),
    };
  },
  number() {
    using xenbus = Fd.open(XENBUS, O_RDWR | O_NONBLOCK);
    const text = readXenstore(xenbus, "domid", XENSTORE_MS);
    if (/^\d{1,5}$/.test(text)) return Number(text);
    throw new SysError("read(domid)", XENBUS, errno.EPROTO);
  },
  pageLimit() {
    try {
      return limitIn(readFileSync(PAGE_LIMIT, "utf8"));
    } catch {
      return undefined;
    }
  },
};

/** The limit in the text of PAGE_LIMIT. The driver compares it without its sign, so -1 is more than every count of pages. */
export function limitIn(text: string): number | undefined {
  return /^-?\d{1,10}\n?$/.test(text) ? Number(text) >>> 0 : undefined;
}

const modules: Readonly<Record<string, string>> = {
  [GNTALLOC]: "xen-gntalloc",
  [GNTDEV]: "xen-gntdev",
};

/** What to do when a device of Xen cannot be used. */
export function xenAdvice({ object, code }: SysError): string {
  if (code === "EACCES" || code === "EPERM") return "run as root, or give yourself access to it";
  if (code !== "ENOENT" && code !== "ENODEV") return "";
  const module = modules[object];
  const load = module === undefined ? "" : `, or its kernel needs modprobe ${module}`;
  return `this is no Xen domain${load}`;
}

/** A struct that is followed by `more` bytes, as the drivers' structs of variable length are. */
export function extended<F extends Fields>(type: StructType<F>, more: number): Struct<F> {
  return type.over(new Uint8Array(new ArrayBuffer(type.size + more)));
}

/** Undoes an allocation or a mapping of grants. A failure is only logged: the file's close undoes it as well. */
export function release<F extends Fields>(
  device: GrantDevice,
  request: Ioctl<F>,
  argument: Struct<F>,
  pages: number,
): void {
  const r = device.ioctl(request, argument);
  if (r < 0) log.warn(new SysError(request.name, `${device.path} (${pages} pages)`, -r).message);
}

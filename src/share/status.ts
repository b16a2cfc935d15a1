// What this machine offers of each way to share frames, and what is missing: `framepass share status`. It opens what --share
// opens, and closes it again.
import { existsSync, readdirSync } from "node:fs";
import type { IoctlDevice } from "../../ffi/ioctl.ts";
import { UnavailableError } from "../errors.ts";
import { DEFAULT_HEAP } from "../frame/memory.ts";
import { GrantAllocator } from "./grant-allocator.ts";
import type { WayName } from "./index.ts";
import { shortly } from "./reasons.ts";
import { openRegion } from "./region.ts";
import { importIfMapping } from "./virtio-media.ts";
import { thisDomain, type XenDomain } from "./xen-domain.ts";
import { importGrants } from "./xen-grant.ts";

/** Where to look. */
export interface ShareHost {
  /** The --device of a sender or receiver. */
  readonly device: string;
  readonly openDevice: () => IoctlDevice & Disposable;
  /** The dax device; without it the first one that there is. */
  readonly region?: string | undefined;
  /** For tests. */
  readonly xen?: XenDomain;
  readonly devDirectory?: string;
}

export interface WayStatus {
  readonly way: WayName;
  readonly between: string;
  /** What is missing on the sender's side and on the receiver's; undefined: nothing. */
  readonly send: string | undefined;
  readonly receive: string | undefined;
  /** What was found. */
  readonly facts: Readonly<Record<string, string | number>>;
}

type Found = Omit<WayStatus, "way" | "between">;

/** What is missing to open something; undefined when it opens. */
function missing(
  open: () => Disposable,
  text: (error: UnavailableError) => string = ({ message }) => message,
): string | undefined {
  try {
    open()[Symbol.dispose]();
    return undefined;
  } catch (error) {
    if (error instanceof UnavailableError) return text(error);
    throw error;
  }
}

const ways: Readonly<Record<WayName, { readonly between: string; look(host: ShareHost): Found }>> =
  {
    "virtio-media": {
      between: "Xen domains, by the driver's own ioctls",
      look({ device, openDevice }) {
        const lack = missing(
          () => importIfMapping(openDevice()),
          (error) => `${shortly(error)}; this way needs the out-of-tree virtio-media driver`, // the error's own advice is for cameras
        );
        return { send: lack, receive: lack, facts: { device } };
      },
    },
    "xen-grant": {
      between: "Xen domains, by the kernel's xen-gntalloc and xen-gntdev",
      look: ({ xen = thisDomain }) => ({
        send: missing(() => new GrantAllocator({ domain: 0, buffers: 1, xen })),
        receive: missing(() => importGrants(xen)),
        facts: { ...domainOf(xen), ...limitOf(xen) },
      }),
    },
    dax: {
      between: "QEMU/KVM guests, in a file of their host",
      look(host) {
        const region = host.region ?? firstRegion(host.devDirectory ?? "/dev");
        if (region === undefined) {
          const lack =
            "no dax device: modprobe -a device_dax dax_pmem nd_pmem nfit, or name one with -R";
          return { send: lack, receive: lack, facts: {} };
        }
        return {
          send: missing(() => openRegion(region, true)),
          receive: missing(() => openRegion(region, false)),
          facts: { region, ...sizeOf(region) },
        };
      },
    },
    fd: {
      between: "programs on one machine, with an address unix:/path",
      look: () => ({
        send: undefined,
        receive: undefined,
        facts: { memory: existsSync(DEFAULT_HEAP) ? DEFAULT_HEAP : "memfd (there is no DMA heap)" },
      }),
    },
  };

/** This domain's number, which the other side gives as --domid. */
function domainOf(xen: XenDomain): { domain?: number } {
  try {
    return { domain: xen.number() };
  } catch {
    return {}; // what is missing says why
  }
}

function limitOf(xen: XenDomain): { limit?: number } {
  const limit = xen.pageLimit();
  return limit === undefined ? {} : { limit };
}

function sizeOf(region: string): { size?: number } {
  try {
    using opened = openRegion(region, false);
    return { size: opened.size };
  } catch {
    return {};
  }
}

function firstRegion(directory: string): string | undefined {
  const name = readdirSync(directory)
    .filter((entry) => /^dax\d/.test(entry))
    .sort()[0];
  return name === undefined ? undefined : `${directory}/${name}`;
}

/** Looks for every way, in the order in which --share auto tries them. */
export function shareStatus(host: ShareHost): readonly WayStatus[] {
  return Object.entries(ways).map(([way, { between, look }]) => ({
    way: way as WayName,
    between,
    ...look(host),
  }));
}

const LABEL = 17;
const labelled = (label: string, text: string) => `  ${label.padEnd(LABEL - 2)}${text}`;
const answer = (lack: string | undefined) => (lack === undefined ? "yes" : `no: ${lack}`);
const units: Readonly<Record<string, string>> = {
  limit: " pages of xen-gntalloc",
  size: " bytes",
};

/** The section of one way, for people. */
export function statusText({ way, between, send, receive, facts }: WayStatus): string {
  const sides =
    send === receive
      ? [labelled("send, receive", answer(send))]
      : [labelled("send", answer(send)), labelled("receive", answer(receive))];
  const found = Object.entries(facts).map(([name, value]) =>
    labelled(name, `${value}${units[name] ?? ""}`),
  );
  return [`${way.padEnd(LABEL)}${between}`, ...sides, ...found].join("\n");
}

/** The same as a JSON object. */
export function statusRecord({ way, send, receive, facts }: WayStatus): string {
  const side = (lack: string | undefined) =>
    lack === undefined ? { usable: true } : { usable: false, missing: lack };
  return JSON.stringify({
    record: "share",
    way,
    send: side(send),
    receive: side(receive),
    ...facts,
  });
}

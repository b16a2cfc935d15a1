// Option rows of the zero-copy tools.
import { deviceFiles } from "../../cli/device-files.ts";
import { inGroup } from "../../cli/groups.ts";
import type { Options } from "../../cli/options.ts";
import type { Explained } from "../../cli/tool-text.ts";

/** How frame memory is shared; `choices` are the values of --share. */
export const shareOptions = <const C extends readonly string[]>(choices: C) =>
  inGroup("sharing", {
    share: {
      short: "s",
      type: "choice",
      choices,
      default: "auto",
      help: "how frame memory is shared; auto: with --domid virtio-media if the device has its ioctls, else xen-grant; with --region dax; else fd",
    },
    region: {
      short: "R",
      type: "text",
      value: "PATH",
      completes: deviceFiles.dax,
      help: "dax device that both guests share, for --share dax",
    },
  } as const satisfies Options);

/** The device that maps the sender's buffers. */
export const borrowOptions = inGroup("sharing", {
  device: {
    short: "d",
    type: "text",
    default: "/dev/video0",
    value: "DEVICE",
    completes: deviceFiles.video,
    help: "virtio-media device that maps the handles, for --share virtio-media: node, by-id name or card name",
  },
} as const satisfies Options);

export const shareFiles: readonly Explained[] = [
  { word: "/dev/dax*", meaning: "regions that two guests share, for --region" },
  {
    word: "/dev/xen/gntalloc, /dev/xen/gntdev, /dev/xen/xenbus",
    meaning: "memory shared between Xen domains, for --share xen-grant",
  },
];

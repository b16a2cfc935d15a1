// Option rows of the zero-copy tools.
import type { Options } from "../../cli/options.ts";

/** How frame memory is shared; `choices` are the values of --share. */
export const shareOptions = <const C extends readonly string[]>(choices: C) =>
  ({
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
      help: "dax device that both guests share, for --share dax",
    },
  }) as const satisfies Options;

/** The device that maps the sender's buffers. */
export const borrowOptions = {
  device: {
    short: "d",
    type: "text",
    default: "/dev/video0",
    value: "DEVICE",
    help: "virtio-media device that maps the handles, for --share virtio-media: node, by-id name or card name",
  },
} as const satisfies Options;

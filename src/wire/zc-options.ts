// Option rows of the zero-copy tools.
import type { Options } from "../options.ts";

/** How frame memory is shared; `choices` are the ways there are. */
export const shareOptions = <const C extends readonly string[]>(choices: C) =>
  ({
    share: {
      short: "s",
      type: "choice",
      choices,
      default: "auto",
      help: "how frame memory is shared; auto: virtio-media if the device has its ioctls, else dax with --region, else fd",
    },
    region: {
      short: "R",
      type: "text",
      value: "PATH",
      help: "dax device both guests have, for --share dax",
    },
  }) as const satisfies Options;

/** Of what the receiver's side consists. */
export const borrowOptions = {
  device: {
    short: "d",
    type: "text",
    default: "/dev/video0",
    value: "PATH",
    help: "virtio-media node that takes the handles, for --share virtio-media",
  },
  frames: {
    short: "n",
    type: "integer",
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    help: "end after so many frames",
  },
  "max-frame": {
    type: "integer",
    min: 1,
    max: 0xffff_ffff,
    default: 67_108_864,
    value: "BYTES",
    help: "largest frame a sender may announce",
  },
} as const satisfies Options;

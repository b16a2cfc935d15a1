// The device files that shells complete values with, by what they are for.
import type { Completion } from "./options.ts";

export const deviceFiles = {
  video: { globs: ["/dev/video*", "/dev/v4l/by-id/*"] },
  heap: { globs: ["/dev/dma_heap/*"] },
  dax: { globs: ["/dev/dax*"] },
} as const satisfies Record<string, Completion>;

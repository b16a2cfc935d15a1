// docs/virtio-video.md against the limits of the code. Its tables are generated: scripts/docs.ts.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_ENTRIES } from "../../src/video/resource.ts";
import { MAX_RESOURCES } from "../../src/video/stream-queue.ts";
import { MAX_RANGES } from "../../src/virtio/guest-ranges.ts";

test("the limits in docs/virtio-video.md are those of the code", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/virtio-video.md"), "utf8");
  const row = page.split("\n").find((line) => line.includes("| RESOURCE_CREATE"));
  expect(row).toContain(`looks up 1 to ${MAX_ENTRIES.toLocaleString("en")} ranges`);
  expect(row).toContain(`more than ${MAX_RESOURCES} in a queue`);
  expect(row).toContain(`more than ${MAX_RANGES.toLocaleString("en")} ranges of all streams`);
});

// The recipe of docs/recipes.md for a crowd of viewers: a media server that Debian packages, one publisher, two viewers.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { cachedDir, unpackPackages } from "../lab/debian.ts";
import { freePort } from "../support/tool.ts";
import { until } from "../support/until.ts";
import { Kitchen } from "./kitchen.ts";
import { decoded, edges } from "./pictures.ts";
import { filled, recipe } from "./recipe.ts";

/** Unpacked, not installed: an installed nginx starts a server on port 80. */
const unpacked = (packages: readonly string[]) =>
  cachedDir("nginx-rtmp", (dir) =>
    unpackPackages([...packages.filter((name) => name !== "ffmpeg"), "nginx-common"], dir),
  );

test("a crowd of viewers: two viewers of a media server record the same pictures", async () => {
  const { title, lines, files, packages } = recipe("A crowd of viewers");
  const [serve = "", publish = "", view = ""] = lines;
  const root = await unpacked(packages);
  await using kitchen = await Kitchen.of(title, { PATH: join(root, "usr/sbin") });
  const rtmp = freePort();
  const configuration = filled(files.get("rtmp.conf") ?? "", {
    "listen 1935": `listen 127.0.0.1:${rtmp}`,
    "/usr/lib/nginx": join(root, "usr/lib/nginx"),
  });
  await Bun.write(kitchen.file("rtmp.conf"), configuration);
  const there = { "10.0.0.3:1935": `127.0.0.1:${rtmp}` };
  const server = kitchen.start(serve);
  const publishing = kitchen.start(publish, there);
  const sending = kitchen.send("-r 30");
  const names = ["a", "b"];
  const viewers = names.map((name) => kitchen.start(view, there, name));
  await until(
    "pictures at both viewers",
    40_000,
    () =>
      names.every((name) => Bun.file(kitchen.file(`${name}/seen.ts`)).size > 20_000) || undefined,
  );
  for (const viewer of viewers) viewer.signal("SIGTERM"); // ffmpeg completes its file
  await Promise.all(viewers.map((viewer) => viewer.ended()));
  sending.signal("SIGTERM");
  await publishing.done();
  server.signal("SIGTERM");
  await server.ended();
  const [a = [], b = []] = await Promise.all(names.map((name) => seen(kitchen.file(name))));
  // They began at different key frames: from the later one on, both have the same pictures.
  const [early, late] = a.includes(b[0] ?? -1n) ? [a, b] : [b, a];
  const rest = early.slice(early.indexOf(late[0] ?? -1n));
  const common = Math.min(rest.length, late.length);
  expect(common).toBeGreaterThan(10);
  expect(rest.slice(0, common)).toEqual(late.slice(0, common));
});

/** The sums of the pictures that a viewer has recorded. Throws when one is no picture of testsrc. */
async function seen(directory: string): Promise<bigint[]> {
  const pictures = await decoded(directory, "-i", "seen.ts");
  edges(pictures);
  return pictures.map(({ sum }) => sum);
}

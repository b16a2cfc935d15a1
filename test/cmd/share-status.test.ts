// `framepass share status` on the machine that the tests run on.
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { shareNames } from "../../src/share/index.ts";
import { makePipes } from "../support/pipe.ts";
import { TempDir } from "../support/tool.ts";

const entry = resolve(import.meta.dir, "../../cmd/framepass.ts");

function status(...words: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(
    [process.execPath, entry, "share", "status", ...words],
    { timeout: 20_000 },
  );
  expect([exitCode, stderr.toString()]).toEqual([0, ""]);
  return stdout.toString();
}

test("status has a section for each way to share, and an object for each with --json", () => {
  const ways = shareNames.slice(1);
  const sections = status("-d", "/dev/null").split("\n\n");
  expect(sections.map((section) => section.split(" ")[0])).toEqual([...ways]);
  expect(sections[0]).toContain("no: VIDIOC_VIRTIO_MEDIA_IMPORT_BUFFER /dev/null: ENOTTY");
  const lines = status("-d", "/dev/null", "--json").trim().split("\n");
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(records.map(({ record, way }) => [record, way])).toEqual(
    ways.map((way) => ["share", way]),
  );
  expect(records.at(-1)).toMatchObject({ send: { usable: true }, receive: { usable: true } });
});

test("a named pipe in the place of a region is no region, and is not waited for", async () => {
  using temp = new TempDir();
  const [pipe = ""] = await makePipes(temp.path, 1);
  expect(status("-d", "/dev/null", "-R", pipe)).toContain("neither a dax device nor a memfd");
});

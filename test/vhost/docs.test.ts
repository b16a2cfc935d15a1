// docs/vhost-user.md against the code: the features offered and the tests that it names.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type ProtocolFeature, protocolFeatures } from "../../src/vhost/features.ts";
import { messageRows, offeredProtocolFeatures } from "../../src/vhost/messages.ts";

const read = (path: string) => readFileSync(join(import.meta.dir, "../..", path), "utf8");

test("every test that docs/vhost-user.md names is there", () => {
  const rows = read("docs/vhost-user.md").split("\n");
  const missing: string[] = [];
  let names = 0;
  for (const row of rows.filter((line) => line.startsWith("|"))) {
    for (const part of row.split(/[;|]/)) {
      const [, file] =
        /(?:^|\s)(test\/[a-z0-9/-]+|messages|memory|rings|monitors|shared-memory): "/.exec(part) ??
        [];
      if (file === undefined) continue;
      const source = read(`${file.includes("/") ? file : `test/vhost/${file}`}.test.ts`);
      for (const [, quoted = ""] of part.matchAll(/"([^"]+)"/g)) {
        names += 1;
        const pieces = quoted.split("...").map((piece) => piece.trim());
        if (!pieces.every((piece) => source.includes(piece))) missing.push(`${file}: ${quoted}`);
      }
    }
  }
  expect(missing).toEqual([]);
  expect(names).toBeGreaterThan(40);
});

test("every defect of its table has a test", () => {
  const source = read("test/vhost/known-defects.test.ts");
  for (let number = 1; number <= 31; number++) expect(source).toContain(`defect ${number}:`);
});

test("the protocol features in docs/vhost-user.md are those offered, and each is of a request served", () => {
  const names = Object.keys(protocolFeatures) as ProtocolFeature[];
  const video = offeredProtocolFeatures({});
  const offered = names.filter((name) => (video & protocolFeatures[name]) !== 0n);
  const line = `${offered.join(", ")}: 0x${video.toString(16)}`;
  expect(read("docs/vhost-user.md")).toContain(`| protocol features | ${line}`);
  const served = messageRows.filter(({ run }) => run !== undefined).map(({ needs }) => needs);
  for (const name of offered) if (name !== "REPLY_ACK") expect(served).toContain(name);
  const camera = offeredProtocolFeatures({ sharedMemoryBytes: 1 << 28, answerLimitMs: 4000 });
  expect(read("docs/vhost-user.md")).toContain(`features are 0x${camera.toString(16)}`);
});

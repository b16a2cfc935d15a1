// The units of systemd, as systemd's own programs judge them. The lab's scenario systemd starts them.
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "../../cmd/tools.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import { parseOptions } from "../../src/cli/parse-options.ts";
import { optionsOf } from "../../src/cli/tool-text.ts";
import { optionsFile, services, units } from "../../src/install/units.ts";
import { TempDir } from "../support/tool.ts";

beforeAll(() => ensureDebian([{ package: "systemd", provides: "systemd-analyze" }]));

/** The units as instances named "front" in a folder, with what `systemd-analyze` says about one. */
function analyzed(
  temp: TempDir,
  words: readonly string[],
  executable = "/bin/true",
): { readonly status: number; readonly said: string } {
  const folder = temp.file("units");
  mkdirSync(folder);
  for (const { name, text } of units(executable))
    writeFileSync(join(folder, name.replace("@", "@front")), text);
  const { exitCode, stdout, stderr } = Bun.spawnSync(["systemd-analyze", ...words], {
    cwd: folder,
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:`, LC_ALL: "C" },
    timeout: 30_000,
  });
  return { status: exitCode, said: stdout.toString() + stderr.toString() };
}

const files = units("").map(({ name }) => name.replace("@", "@front"));

test.each(files)("systemd-analyze verify %s finds nothing", (file) => {
  using temp = new TempDir();
  expect(analyzed(temp, ["verify", "--man=no", `./${file}`])).toEqual({ status: 0, said: "" });
});

test.each(files.filter((file) => file.endsWith(".service")))(
  "systemd-analyze security %s: 2.5 at most",
  (file) => {
    using temp = new TempDir();
    const words = ["security", "--offline=true", "--threshold=25", "--no-pager", `./${file}`];
    const { status, said } = analyzed(temp, words);
    expect(status, said).toBe(0);
    expect(said).toContain("Overall exposure level");
  },
);

test("an executable whose path has blanks and percent signs is what the unit starts", () => {
  using temp = new TempDir();
  const path = temp.file("a b 100%");
  writeFileSync(path, "#!/bin/sh\n", { mode: 0o755 });
  const file = files[0] ?? "";
  expect(analyzed(temp, ["verify", "--man=no", `./${file}`], path)).toEqual({
    status: 0,
    said: "",
  });
  const gone = new TempDir();
  using _gone = gone;
  expect(analyzed(gone, ["verify", "--man=no", `./${file}`], `${path}x`).said).toContain(
    `Command ${path}x is not executable`,
  );
});

test.each(services)(
  "$name: the options of the unit and of its example are options of the tool",
  async (service) => {
    const names = [service.tool, ...(service.other === undefined ? [] : [service.other])];
    for (const name of names) {
      const tool = await tools.find((row) => row.name === name)?.load();
      if (tool === undefined) throw new Error(`no tool ${name}`);
      const words = [...service.always, ...service.example.split(" ")];
      expect(() => parseOptions(optionsOf(tool), words)).not.toThrow();
    }
  },
);

test("each unit says where its options are, with an example", () => {
  for (const service of services) {
    const { text = "" } =
      units("/usr/bin/framepass").find(({ name }) => name === `${service.name}@.service`) ?? {};
    expect(text).toContain(`write ${optionsFile(service, "front")}:`);
    expect(text).toContain(`#   OPTIONS=${service.example}\n`);
    expect(text).toContain(
      `EnvironmentFile=${service.socket ? "-" : ""}${optionsFile(service, "%i")}\n`,
    );
    expect(text).toContain('ExecStart="/usr/bin/framepass" ');
  }
});

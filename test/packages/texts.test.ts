// The texts in the packages, and the list of what is inside the executable. The *.long tests make and install packages.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cLibraryIn } from "../../ffi/c-library.ts";
import project from "../../package.json";
import { projectDir } from "../../scripts/ensure.ts";
import { bundledPackages, runtime, runtimeLibraries } from "../../scripts/packages/components.ts";
import {
  changelog,
  control,
  copyright,
  LIBC6,
  maintainerScripts,
  recommends,
} from "../../scripts/packages/debian-texts.ts";
import { filesBelow } from "../../scripts/packages/files.ts";
import { copyPages, relativeLinks, withoutLinks } from "../../scripts/packages/pages.ts";
import { sbom } from "../../scripts/packages/sbom.ts";
import { hostCommand } from "../lab/debian.ts";
import { built, dist, TempDir } from "../support/tool.ts";

test("control has each field once, and a description of lines that fit a terminal", () => {
  const lines = control("amd64", 1234).trimEnd().split("\n");
  const fields = lines.flatMap((line) => /^([A-Z][A-Za-z-]+): \S/.exec(line)?.[1] ?? []);
  expect(new Set(fields).size).toBe(fields.length);
  expect(fields).toEqual(
    expect.arrayContaining(["Package", "Version", "Architecture", "Maintainer", "Depends"]),
  );
  expect(lines.filter((line) => line.startsWith(" ") && line.length > 80)).toEqual([]);
  expect(lines).toContain("Installed-Size: 1234");
});

test("each library that a tool may load is recommended, under the names of all versions that are tried", () => {
  expect(recommends[0]).toBe("libsdl2-2.0-0");
  expect(recommends[1]).toStartWith("libturbojpeg0 | ");
  for (const name of ["libavcodec58", "libavcodec59", "libavcodec61"])
    expect(recommends[2].split(" | ")).toContain(name);
  for (const name of ["libswscale5", "libswscale6", "libswscale8"])
    expect(recommends[3].split(" | ")).toContain(name);
});

test("the changelog has the commit and its time", () => {
  const lines = changelog("0123456789ab", 1_000_000_000).split("\n");
  expect(lines[0]).toBe(`framepass (${project.version}) unstable; urgency=medium`);
  expect(lines[2]).toBe("  * Built from commit 0123456789ab.");
  expect(lines[4]).toEndWith(">  Sun, 09 Sep 2001 01:46:40 +0000");
});

test("a link to a file that is not in the package is plain text there; others stay", () => {
  const page =
    "[a](there.md), [b\nc](gone.md#part), [d](#here), [e](https://example.org/x), ![f](gone.png)";
  expect(withoutLinks(page, (file) => file === "there.md")).toBe(
    "[a](there.md), b\nc, [d](#here), [e](https://example.org/x), f",
  );
});

test("each link in the pages of a package leads to a file of the package", () => {
  using temp = new TempDir();
  copyPages(temp.path);
  const pages = filesBelow(temp.path).filter((name) => name.endsWith(".md"));
  const links = pages.flatMap((page) =>
    relativeLinks(readFileSync(temp.file(page), "utf8")).map((to) => ({ page, to })),
  );
  expect(links.filter(({ page, to }) => !existsSync(join(temp.path, dirname(page), to)))).toEqual(
    [],
  );
  for (const to of ["docs/copy.md", "docs/options.md"])
    expect(links).toContainEqual({ page: "README.md", to });
  expect(readFileSync(temp.file("README.md"), "utf8")).toContain("ARCHITECTURE.md");
  expect(pages.filter((page) => page.includes("decisions"))).toEqual([]);
});

test("the scripts of a package do nothing without systemd, and stop instances only when it is removed", async () => {
  using temp = new TempDir();
  const scripts = maintainerScripts(["framepass-sender@.service", "vhost-user-video@.socket"]);
  expect(Object.keys(scripts)).toEqual(["postinst", "prerm", "postrm"]);
  expect(scripts.prerm).toContain("stop 'framepass-sender@*.service' 'vhost-user-video@*.socket' ");
  expect(scripts.prerm).toContain('[ "$1" = remove ]');
  // A path that is not there takes the place of systemd's.
  for (const [name, text] of Object.entries(scripts)) {
    const path = temp.file(name);
    await Bun.write(path, text.replace("/run/systemd/system", temp.file("none")));
    expect(await hostCommand(["sh", path, "remove"])).toBe("");
  }
});

test("each npm package in the executable names the repository of its source", () => {
  for (const { source } of bundledPackages())
    expect(source).toMatch(/^https:\/\/github\.com\/[\w-]+\/[\w-]+$/);
});

const minor = (version: string) => Number(version.split(".")[1]);
const byVersion = (a: string, b: string) => minor(a) - minor(b);

test("the package depends on the C library that the executable and ffi/libc.ts need, and on no newer one", async () => {
  await built();
  const needed = await hostCommand(["readelf", "-VW", join(dist, "framepass")]);
  const own = [...needed.matchAll(/Name: GLIBC_(2\.\d+)/g)].map(([, version = ""]) => version);
  expect(own.length).toBeGreaterThan(3);

  const source = await Bun.file(join(projectDir, "ffi/libc.ts")).text();
  const names = [...source.matchAll(/^ {2}(\w+): \{ args:/gm)].map(([, name = ""]) => name);
  expect(names.length).toBeGreaterThan(40);
  const { libc } = cLibraryIn(readFileSync("/proc/self/maps", "utf8"));
  const symbols = await hostCommand(["readelf", "--dyn-syms", "-W", libc]);
  const found = [...symbols.matchAll(/ (\w+)@@?GLIBC_(2\.\d+)/g)];
  // A function that a later version moved or renewed is there under the earlier one as well: the first one counts.
  const first = names.map((name) => {
    const versions = found.flatMap(([, other, version = ""]) => (other === name ? version : []));
    expect(versions, name).not.toEqual([]);
    return versions.sort(byVersion)[0] ?? "";
  });
  expect([...own, ...first].sort(byVersion).at(-1)).toBe(LIBC6);
});

test("the copyright file has the licence of each npm package that is in the executable", () => {
  const text = copyright();
  for (const { name, version, licence } of bundledPackages()) {
    expect(text).toContain(`Files: node_modules/${name}/*\nCopyright: `);
    expect(text).toContain(`License: ${licence}-${name}\n `);
    expect(text).toContain(`Comment: ${name} ${version}\n`);
  }
  expect(text).not.toMatch(/^Copyright: *$/m);
  for (const { name } of runtimeLibraries()) expect(text).toContain(`\n ${name}: `);
});

const commit = "0123456789ab";
const document = () => JSON.parse(sbom(commit, 1_000_000_000));

interface Part {
  readonly type: string;
  readonly "bom-ref": string;
  readonly name: string;
  readonly version?: string;
  readonly licenses?: readonly object[];
  readonly purl?: string;
  readonly externalReferences?: readonly { readonly type: string; readonly url: string }[];
  readonly components?: readonly Part[];
}

const allParts = (parts: readonly Part[]): readonly Part[] =>
  parts.flatMap((part) => [part, ...allParts(part.components ?? [])]);

test("the SBOM has the fields that CycloneDX 1.6 wants, each of its form", () => {
  const { $schema, bomFormat, specVersion, serialNumber, version, metadata, components, ...rest } =
    document();
  expect({ $schema, bomFormat, specVersion, version }).toEqual({
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
  });
  expect(serialNumber).toMatch(
    /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  expect(metadata.timestamp).toBe("2001-09-09T01:46:40.000Z");
  expect(Object.keys(rest)).toEqual(["dependencies"]);
  const parts = [metadata.component, ...allParts(components)];
  for (const part of parts) {
    // The schema wants type and name, and allows no fields of our own.
    expect(["application", "library", "platform"]).toContain(part.type);
    expect(part.name).toMatch(/^\S+$/);
    expect(part["bom-ref"]).toMatch(/^\S+$/);
    for (const licence of part.licenses ?? []) {
      const [[kind, value] = []] = Object.entries(licence);
      if (kind === "expression") expect(value).toMatch(/ (?:OR|AND) /);
      else expect({ kind, value }).toEqual({ kind: "license", value: { id: expect.any(String) } });
      // An expression must be the only one.
      if (kind === "expression") expect(part.licenses).toHaveLength(1);
    }
    if (part.purl !== undefined) expect(part.purl).toBe(`pkg:npm/${part.name}@${part.version}`);
    for (const { type, url } of part.externalReferences ?? []) {
      expect(type).toBe("website");
      expect(url).toStartWith("https://");
    }
  }
  const refs = parts.map((part) => part["bom-ref"]);
  expect(new Set(refs).size).toBe(refs.length);
});

test("the dependencies of the SBOM name each part of it, and no other", () => {
  const { metadata, components, dependencies } = document();
  const refs = new Set(
    [metadata.component, ...allParts(components)].map((part) => part["bom-ref"]),
  );
  const reached = new Set<string>([metadata.component["bom-ref"]]);
  for (const { ref, dependsOn } of dependencies) {
    expect(refs).toContain(ref);
    for (const other of dependsOn) reached.add(other);
  }
  expect([...reached].sort()).toEqual([...refs].sort());
});

test("the SBOM has the npm packages that a build takes files from, with the versions of the lock file", async () => {
  const build = await Bun.build({
    entrypoints: [join(projectDir, "cmd/framepass.ts")],
    target: "bun",
    external: ["*.node"],
    metafile: true,
  });
  const inputs = Object.keys(build.metafile?.inputs ?? {});
  const bundled = inputs.flatMap((path) => /node_modules\/([^/]+)\//.exec(path)?.[1] ?? []);
  expect([...new Set(bundled)].sort()).toEqual(bundledPackages().map(({ name }) => name));
  const lock = await Bun.file(join(projectDir, "bun.lock")).text();
  for (const { name, version } of bundledPackages())
    expect(lock).toContain(`"${name}": ["${name}@${version}"`);
});

test("the SBOM names the runtime and the libraries in it, and no licence that is unknown to it", () => {
  const { components } = document();
  const bun = components.find(({ name }: Part) => name === "bun");
  expect({ version: bun.version, type: bun.type }).toEqual({
    version: runtime.version,
    type: "platform",
  });
  expect(bun.version).toBe(Bun.version);
  const engine = bun.components.find(({ name }: Part) => name === "JavaScriptCore");
  expect(engine.version).toBe(process.versions.webkit);
});

test("the same commit gives the same SBOM, another one a different number", () => {
  expect(sbom(commit, 1)).toBe(sbom(commit, 1));
  const number = (text: string) => JSON.parse(text).serialNumber;
  expect(number(sbom(commit, 1))).not.toBe(number(sbom("ba9876543210", 1)));
});

// What is inside the executable besides our own sources: npm packages, the runtime, and the libraries that are linked into it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import project from "../../package.json";
import { projectDir } from "../ensure.ts";

/** A part of the executable that others have written. */
export interface Component {
  readonly name: string;
  /** Undefined where the runtime does not tell it. */
  readonly version?: string;
  /** An expression of SPDX, or undefined where the part has several licences. */
  readonly licence?: string;
  /** Where it comes from. */
  readonly source: string;
}

/** An npm package, with the text of its licence file. */
export interface NpmPackage extends Component {
  readonly version: string;
  readonly licence: string;
  readonly licenceText: string;
  /** The names of the packages that it needs. */
  readonly needs: readonly string[];
}

/** The npm packages that the executable contains: those of `dependencies`, and what they need, sorted by name. */
export function bundledPackages(): readonly NpmPackage[] {
  const found = new Map<string, NpmPackage>();
  const visit = (name: string) => {
    if (found.has(name)) return;
    const folder = join(projectDir, "node_modules", name);
    const { version, license, dependencies, repository } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    const needs = Object.keys(dependencies ?? {}).sort();
    const licenceText = readFileSync(join(folder, "LICENSE"), "utf8").trim();
    const source = repositoryUrl(repository?.url ?? repository);
    found.set(name, { name, version, licence: license, licenceText, source, needs });
    needs.forEach(visit);
  };
  Object.keys(project.dependencies).forEach(visit);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The address of a package's `repository`: a URL, for git or not, or OWNER/NAME on GitHub. */
function repositoryUrl(text: string): string {
  if (/^[\w-]+\/[\w.-]+$/.test(text)) return `https://github.com/${text}`;
  return text.replace(/^git\+/, "").replace(/\.git$/, "");
}

/** The runtime. */
export const runtime: Component = {
  name: "bun",
  version: project.packageManager.replace("bun@", ""),
  licence: "MIT",
  source: "https://github.com/oven-sh/bun",
};

/** A row of the libraries in Bun: its name, its key in `process.versions`, its licence, and where its source is. */
const library = (name: string, key: string | undefined, licence: string | undefined, at: string) =>
  ({ name, key, licence, source: `https://${at}` }) as const;

/** LICENSE.md of Bun 1.4, without what is in its builds for Windows only. */
const libraries = [
  library("JavaScriptCore", "webkit", "LGPL-2.0-or-later", "github.com/oven-sh/webkit"),
  library("boringssl", "boringssl", undefined, "boringssl.googlesource.com/boringssl"),
  library("brotli", undefined, "MIT", "github.com/google/brotli"),
  library("c-ares", "ares", "MIT", "github.com/c-ares/c-ares"),
  library("highway", undefined, "Apache-2.0", "github.com/google/highway"),
  library("icu", "icu", "Unicode-3.0", "github.com/unicode-org/icu"),
  library("libarchive", "libarchive", undefined, "github.com/libarchive/libarchive"),
  library("libbase64", undefined, "BSD-2-Clause", "github.com/aklomp/base64"),
  library("libdeflate", "libdeflate", "MIT", "github.com/ebiggers/libdeflate"),
  library("libjpeg-turbo", undefined, undefined, "github.com/libjpeg-turbo/libjpeg-turbo"),
  library("libspng", undefined, "BSD-2-Clause", "github.com/randy408/libspng"),
  library("libwebp", undefined, "BSD-3-Clause", "github.com/webmproject/libwebp"),
  library("lol-html", "lolhtml", "BSD-3-Clause", "github.com/cloudflare/lol-html"),
  library("ls-hpack", "lshpack", "MIT", "github.com/litespeedtech/ls-hpack"),
  library("ls-qpack", undefined, "MIT", "github.com/litespeedtech/ls-qpack"),
  library("lsquic", undefined, "MIT AND BSD-3-Clause", "github.com/litespeedtech/lsquic"),
  library("mimalloc", "mimalloc", "MIT", "github.com/microsoft/mimalloc"),
  library(
    "picohttpparser",
    "picohttpparser",
    "Artistic-1.0-Perl OR MIT",
    "github.com/h2o/picohttpparser",
  ),
  library("simdutf", undefined, "Apache-2.0", "github.com/simdutf/simdutf"),
  library("sqlite", "sqlite", "blessing", "sqlite.org"),
  library("tinycc", "tinycc", "LGPL-2.1-only", "github.com/tinycc/tinycc"),
  library("uSockets", "usockets", "Apache-2.0", "github.com/uNetworking/uSockets"),
  library("uWebSockets", "uwebsockets", "Apache-2.0", "github.com/uNetworking/uWebSockets"),
  library("zlib-ng", "zlib", "Zlib", "github.com/zlib-ng/zlib-ng"),
  library("zstd", "zstd", "BSD-3-Clause OR GPL-2.0-only", "github.com/facebook/zstd"),
];

/** The libraries that Bun links statically, with the versions that it names: a commit for most of them. */
export function runtimeLibraries(): readonly Component[] {
  return libraries.map(({ name, key, licence, source }) => {
    const version = key === undefined ? undefined : process.versions[key];
    if (key !== undefined && version === undefined)
      throw new Error(`process.versions of Bun has no ${key}: correct the row of ${name}`);
    return {
      name,
      source,
      ...(version !== undefined && { version }),
      ...(licence !== undefined && { licence }),
    };
  });
}

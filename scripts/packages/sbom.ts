// The list of what is in the executables, in the JSON of CycloneDX 1.6.
import { createHash } from "node:crypto";
import project from "../../package.json";
import {
  bundledPackages,
  type Component,
  type NpmPackage,
  runtime,
  runtimeLibraries,
} from "./components.ts";

const ref = ({ name, version }: Component) => (version === undefined ? name : `${name}@${version}`);
const isExpression = (licence: string) => / (?:OR|AND|WITH) /.test(licence);

/** CycloneDX wants one licence as `license.id`, and several as an expression. */
const licences = (licence: string | undefined) => {
  if (licence === undefined) return {};
  return {
    licenses: isExpression(licence) ? [{ expression: licence }] : [{ license: { id: licence } }],
  };
};

const component = (type: string, part: Component, more: object = {}) => ({
  type,
  "bom-ref": ref(part),
  name: part.name,
  ...(part.version !== undefined && { version: part.version }),
  ...licences(part.licence),
  externalReferences: [{ type: "website", url: part.source }],
  ...more,
});

const npm = (part: NpmPackage) =>
  component("library", part, { purl: `pkg:npm/${part.name}@${part.version}` });

/** The document, for a package of this time (seconds since 1970). */
export function sbom(commit: string, epochSeconds: number): string {
  const packages = bundledPackages();
  const libraries = runtimeLibraries();
  const whole: Component = {
    name: project.name,
    version: project.version,
    licence: project.license,
    source: "",
  };
  const byName = new Map(packages.map((part) => [part.name, ref(part)]));
  const refsOf = (names: readonly string[]) => names.map((name) => byName.get(name) ?? name);
  const content = {
    metadata: {
      timestamp: new Date(epochSeconds * 1000).toISOString(),
      component: {
        type: "application",
        "bom-ref": ref(whole),
        name: whole.name,
        version: whole.version,
        description: project.description,
        ...licences(whole.licence),
        properties: [{ name: "framepass:commit", value: commit }],
      },
    },
    components: [
      ...packages.map(npm),
      component("platform", runtime, {
        purl: `pkg:npm/${runtime.name}@${runtime.version}`,
        components: libraries.map((part) => component("library", part)),
      }),
    ],
    dependencies: [
      {
        ref: ref(whole),
        dependsOn: [...refsOf(Object.keys(project.dependencies)), ref(runtime)],
      },
      ...packages.map((part) => ({ ref: ref(part), dependsOn: refsOf(part.needs) })),
      { ref: ref(runtime), dependsOn: libraries.map(ref) },
    ],
  };
  const head = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    serialNumber: `urn:uuid:${contentUuid(JSON.stringify(content))}`,
    version: 1,
  };
  return `${JSON.stringify({ ...head, ...content }, undefined, 2)}\n`;
}

/** A UUID of version 8 (RFC 9562) from the content: two builds of a commit have the same one. */
function contentUuid(content: string): string {
  const bytes = createHash("sha256").update(content).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// What `framepass install` puts under a prefix, a row each. Everything but the executable is made from the rows of the tools.
import { dirname, join, relative } from "node:path";
import { mainPage, manPage, pageName } from "../cli/man.ts";
import type { About, ToolText } from "../cli/tool-text.ts";
import { bashCompletion } from "./completions/bash.ts";
import { fishCompletion, fishLinkCompletion } from "./completions/fish.ts";
import { completedTool } from "./completions/model.ts";
import { zshCompletion } from "./completions/zsh.ts";
import { units } from "./units.ts";

/** One entry; `path` is relative to the prefix. */
export type Entry = { readonly path: string } & (
  | { readonly kind: "executable" }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "link"; readonly target: string }
);

const EXECUTABLE = "bin/framepass";
/** A back-end of virtual machine monitors, as management software learns of it. */
export interface Backend {
  readonly tool: string;
  readonly type: string;
  readonly description: string;
  /** The descriptor's file. */
  readonly file: string;
}

export const backends: readonly Backend[] = [
  {
    tool: "vhost-user-video",
    type: "video",
    description: "framepass: virtio video decoder",
    file: "50-framepass-video.json",
  },
  {
    tool: "vhost-user-media",
    type: "media",
    description: "framepass: virtio-media camera",
    file: "50-framepass-media.json",
  },
];

/** A descriptor names a file without options, so that the file's name must select the tool. */
const backendPath = ({ tool }: Backend) => `libexec/framepass/${tool}`;
const PAGES = "share/man/man1";
const BASH = "share/bash-completion/completions";
/** systemd reads it below /usr and /usr/local: systemd.unit(5). */
const UNITS = "lib/systemd/system";
const FISH = "share/fish/vendor_completions.d";

export interface LayoutOptions {
  /** The absolute path of the prefix. */
  readonly prefix: string;
  /** Whether users also call the tools by their own names. */
  readonly links: boolean;
  readonly about: About;
}

/** All entries, in the order in which they are listed. */
export function layout(tools: readonly ToolText[], options: LayoutOptions): Entry[] {
  const { prefix, links, about } = options;
  const completed = tools.map((tool) => completedTool(tool, links));
  const linked = links ? completed.filter((tool) => tool.linked) : [];
  const called = ({ name }: { readonly name: string }) => `framepass ${name}`;
  const page = (name: string) => `${PAGES}/${pageName(name)}.1`;
  const listed = tools.map((tool) => ({ called: called(tool), summary: tool.summary }));
  return [
    { path: EXECUTABLE, kind: "executable" },
    ...backends.map((backend) => link(backendPath(backend), EXECUTABLE)),
    ...linked.map(({ name }) => link(`bin/${name}`, EXECUTABLE)),
    text(page("framepass"), mainPage(about, listed)),
    ...tools.map((tool) => text(page(called(tool)), manPage(tool, called(tool)))),
    ...linked.map((tool) => link(page(tool.name), page(called(tool)))),
    text(`${BASH}/framepass`, bashCompletion(completed)),
    ...linked.map(({ name }) => link(`${BASH}/${name}`, `${BASH}/framepass`)),
    text("share/zsh/site-functions/_framepass", zshCompletion(completed)),
    text(`${FISH}/framepass.fish`, fishCompletion(completed)),
    ...linked.map((tool) => text(`${FISH}/${tool.name}.fish`, fishLinkCompletion(tool))),
    ...backends.map((backend) =>
      text(
        `share/qemu/vhost-user/${backend.file}`,
        descriptor(backend, join(prefix, backendPath(backend))),
      ),
    ),
    ...(servable(prefix) ? units(join(prefix, EXECUTABLE)) : []).map((unit) =>
      text(`${UNITS}/${unit.name}`, unit.text),
    ),
  ];
}

/** Whether services can start what is there: homes are hidden from them, and systemd starts no path with such characters. */
const servable = (prefix: string) =>
  !/^\/(?:home|root|run\/user)(?:\/|$)|["'\\\p{Cc}]/u.test(prefix);

const text = (path: string, content: string): Entry => ({ path, kind: "text", text: content });
const link = (path: string, to: string): Entry => ({
  path,
  kind: "link",
  target: relative(dirname(path), to),
});

/** The file from which libvirt learns of a back-end: docs/interop/vhost-user.json of QEMU. */
export function descriptor({ description, type }: Backend, binary: string): string {
  const fields = { description, type, binary, tags: ["framepass"] };
  return `${JSON.stringify(fields, undefined, 2)}\n`;
}

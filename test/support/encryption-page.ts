// The tunnels of docs/encryption.md, as its blocks of shell lines say them: the tests and the bench run the text of the page.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../../scripts/ensure.ts";

export type Side = "receiver" | "sender";

/** A block of lines for one of the two hosts. */
export interface Step {
  readonly side: Side;
  /** What makes the tunnel, or a part of it; it ends. */
  readonly setUp: string;
  /** The line that starts the receiver or the sender, if it is in this block. */
  readonly tool: string | undefined;
}

export interface Tunnel {
  /** The heading of its section. */
  readonly name: string;
  readonly steps: readonly Step[];
  /** What is put before a public key, where the section says that. */
  readonly keyWords: string | undefined;
}

/** The lines of the tools without a tunnel, to compare with. */
export const plainLines: Readonly<Record<Side, string>> = {
  receiver: "receiver -l 10.91.0.2 -p 5000 --allow 10.91.0.1 --verify",
  sender: "sender -d testsrc -a 10.91.0.2 -p 5000 -n 60",
};

/** The tunnels, in the order of the page. Throws when a section has not one line for the receiver and one for the sender. */
export function tunnels(): readonly Tunnel[] {
  const page = readFileSync(join(projectDir, "docs/encryption.md"), "utf8");
  const sections = page.split(/^## /m).slice(1);
  return sections.filter((section) => section.includes("```sh")).map(readSection);
}

function readSection(section: string): Tunnel {
  const name = section.slice(0, section.indexOf("\n"));
  const parts = section.split(/^```sh\n([\s\S]*?)^```\n/m);
  const steps: Step[] = [];
  for (let i = 1; i < parts.length; i += 2)
    steps.push(readStep(parts[i - 1] ?? "", parts[i] ?? ""));
  const tools = steps.flatMap(({ side, tool }) => (tool === undefined ? [] : [side]));
  if (tools.join() !== "receiver,sender") throw new Error(`${name}: its tools are ${tools}`);
  return { name, steps, keyWords: /^```text\n(.*)\n```/m.exec(section)?.[1] };
}

/** A block, and the text before it, whose last words name the host. */
function readStep(before: string, lines: string): Step {
  const hosts = [...before.matchAll(/[Oo]n the (receiver|sender)'s host/g)];
  const side = hosts.at(-1)?.[1] as Side | undefined;
  if (side === undefined) throw new Error(`no host before ${lines}`);
  const found = new RegExp(`^${side} .*$`, "m").exec(lines);
  return { side, setUp: lines.slice(0, found?.index), tool: found?.[0] };
}

/** The line of a side. */
export function toolLine({ name, steps }: Tunnel, side: Side): string {
  const line = steps.find((step) => step.side === side && step.tool !== undefined)?.tool;
  if (line === undefined) throw new Error(`${name} has no ${side}`);
  return line;
}

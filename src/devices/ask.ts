// Asks nodes in processes of their own: a driver that does not answer costs its own report only.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { oneLine } from "../cli/log.ts";
import type { OwnProgram } from "../cli/own-program.ts";
import type { Loop } from "../loop.ts";
import { answerOf } from "./answer.ts";
import { type DeviceReport, unknownDevice } from "./report.ts";

/** A camera answers in a fraction of a second; a broken one on USB needs 5 s per control to fail. Longer than offers.ts takes. */
export const ANSWER_LIMIT_MS = 30_000;
/** How many nodes are asked at the same time. */
const AT_ONCE = Math.min(4, availableParallelism());

export interface AskOptions {
  /** Prints the report of the node that follows in `options` as JSON. */
  readonly program: OwnProgram;
  /** The words for a node. */
  readonly words: (node: string) => readonly string[];
  readonly limitMs?: number;
}

/** Asks all nodes, until `signal` aborts; the answers are in their order. Without an answer in time the report has the reason. */
export async function askNodes(
  loop: Loop,
  nodes: readonly string[],
  options: AskOptions,
  signal: AbortSignal,
): Promise<readonly DeviceReport[]> {
  const reports: DeviceReport[] = [];
  let next = 0;
  const worker = async () => {
    while (next < nodes.length && !signal.aborted) {
      const at = next++;
      reports[at] = await askNode(loop, nodes[at] ?? "", options, signal);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return reports;
}

async function askNode(
  loop: Loop,
  node: string,
  { program, words, limitMs = ANSWER_LIMIT_MS }: AskOptions,
  signal: AbortSignal,
): Promise<DeviceReport> {
  const { file, name, words: own } = program;
  const command = [file, ...own, ...words(node)];
  const text = (await answerOf(loop, command, { limitMs, argv0: name }, signal))?.text;
  if (text === undefined)
    return unknownDevice(node, nameOf(node), `no answer in ${limitMs / 1000} s: its driver hangs`);
  try {
    return JSON.parse(text.split("\n", 1)[0] ?? "") as DeviceReport;
  } catch {
    return unknownDevice(node, nameOf(node), "the process that asked it has failed");
  }
}

/** The name that the kernel has for a node, without asking its driver: mostly the card's. */
export function nameOf(node: string): string {
  try {
    const path = `/sys/class/video4linux/${basename(node)}/name`;
    return oneLine(readFileSync(path, "utf8").trim());
  } catch {
    return "";
  }
}

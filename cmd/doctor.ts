// doctor: what this machine can and cannot do, with the command that helps, and whether a tool can run.
import { ownProgram } from "../src/cli/own-program.ts";
import { printOut } from "../src/cli/stdout.ts";
import { nearest, probablyMeant } from "../src/cli/suggest.ts";
import { type Context, defineTool } from "../src/cli/tool.ts";
import { askNodes } from "../src/devices/ask.ts";
import { examine, listening, type Result, resultLine } from "../src/doctor/checks.ts";
import { checkAnswered } from "../src/doctor/devices.ts";
import { type Finding, missing, ok } from "../src/doctor/finding.ts";
import { thisMachine } from "../src/doctor/machine.ts";
import { UnavailableError, UsageError } from "../src/errors.ts";
import { shareStatus } from "../src/share/status.ts";
import { parseAddress } from "../src/stream/socket/address.ts";
import { Listener } from "../src/stream/socket/listener.ts";
import { addressOptions } from "../src/stream/stream-options.ts";
import { openVideoDevice } from "../src/v4l2/device.ts";
import { findNode, videoNodes } from "../src/v4l2/find-node.ts";
import { toolRow, toolRows } from "./tool-rows.ts";

export const doctor = defineTool({
  ...toolRow("doctor"),
  examples: [
    { does: "show what this machine offers, and what is missing", line: "doctor" },
    { does: "whether a receiver can run and listen on its port", line: "doctor receiver -p 5000" },
  ],
  operands: {
    tool: {
      type: "text",
      value: "TOOL",
      completes: { words: toolRows.map(({ name }) => name) },
      help: "only what concerns this tool; the status is 0 when it can run",
    },
  },
  options: {
    port: {
      ...addressOptions.listen.port,
      help: "also try to listen on this TCP port, as a receiver does",
    },
    json: { type: "flag", help: "one JSON object per line on stdout: check, tool" },
  },
  async run({ tool: word, port, json }, context) {
    const tool = word === undefined ? undefined : named(word);
    if (port !== undefined && tool !== undefined && !listening.includes(tool))
      throw new UsageError(`--port is for ${listening.join(", ")}; ${tool} does not listen on one`);
    const results = await examine(tool, await surroundings(port, context));
    if (context.signal.aborted) return "stopped";
    const asked = toolRows
      .map(({ name }) => name)
      .filter((name) => tool === undefined || name === tool);
    const tools = asked.map((name) => ({ name, lacks: lackOf(name, results) }));
    const lines = json ? records(results, tools) : texts(results, tools);
    await printOut(lines.join("\n"));
    const [stopped] = tool === undefined ? [] : tools.filter(({ lacks }) => lacks.length > 0);
    if (stopped === undefined) return "done";
    throw new UnavailableError(`${stopped.name} cannot run here: ${stopped.lacks.join(", ")}`);
  },
});

interface Verdict {
  readonly name: string;
  /** The names of the checks that stop it. */
  readonly lacks: readonly string[];
}

/** The tool of that name. Throws UsageError. */
function named(word: string): string {
  const names = toolRows.map(({ name }) => name);
  const folded = word.replaceAll("-", "_");
  const found = names.find((name) => name.replaceAll("-", "_") === folded);
  if (found !== undefined) return found;
  const meant = nearest(word, names);
  const all = meant === undefined ? `; choose one of ${names.join(", ")}` : probablyMeant(meant);
  throw new UsageError(`there is no tool "${word}"${all}`);
}

async function surroundings(port: number | undefined, context: Context) {
  const { loop, signal } = context;
  const words = (node: string) => ["--device", node, "--json", "--direct"];
  const reports = await askNodes(
    loop,
    videoNodes(),
    { program: ownProgram("devices"), words },
    signal,
  );
  const device = "/dev/video0";
  const openDevice = () => {
    checkAnswered(reports, device);
    return openVideoDevice(findNode(device, ["camera"]));
  };
  return {
    machine: thisMachine(),
    reports,
    ways: shareStatus({ device, openDevice }),
    context,
    listen: port === undefined ? undefined : () => tryPort(port, context),
  };
}

async function tryPort(port: number, { loop, signal }: Context): Promise<Finding> {
  const address = parseAddress("--listen", addressOptions.listen.listen.default, port);
  try {
    using listener = await Listener.open(loop, address, () => false, signal);
    return ok(listener?.name ?? "");
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return missing(error.message);
  }
}

const lackOf = (tool: string, results: readonly Result[]) =>
  results.filter(({ stops }) => stops.includes(tool)).map(({ name }) => name);

function texts(results: readonly Result[], tools: readonly Verdict[]): string[] {
  const able = tools.filter(({ lacks }) => lacks.length === 0).map(({ name }) => name);
  const unable = tools.filter(({ lacks }) => lacks.length > 0);
  const lines = unable.map(({ name, lacks }) => `cannot run: ${name} (${lacks.join(", ")})`);
  if (able.length > 0) lines.unshift(`can run: ${able.join(", ")}`);
  return [...results.map(resultLine), "", ...lines];
}

const records = (results: readonly Result[], tools: readonly Verdict[]): string[] =>
  [
    ...results.map((result) => ({ record: "check", ...result })),
    ...tools.map(({ name, lacks }) => ({ record: "tool", name, runs: lacks.length === 0, lacks })),
  ].map((record) => JSON.stringify(record));

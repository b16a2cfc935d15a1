// The generated parts of the pages, a row each: tables that derive from the rows of the code.
import { tools } from "../cmd/tools.ts";
import { grouped } from "../src/cli/groups.ts";
import { defaultText, type Operand, rangeText, spelled, valueText } from "../src/cli/options.ts";
import { calledAs, exampleLine, optionsOf, type ToolText } from "../src/cli/tool-text.ts";
import { exitCodes } from "../src/errors.ts";
import { formats, type PixelFormat } from "../src/format/formats.ts";
import { pictureBytes } from "../src/format/picture-layout.ts";
import { handleKinds } from "../src/stream/zero-copy/messages.ts";
import { messageRows } from "../src/vhost/messages.ts";
import { videoFormats } from "../src/video/formats.ts";
import type { Parts } from "./docs.ts";
import { commandTable } from "./docs-commands.ts";
import { errorClasses } from "./docs-errors.ts";
import { ioctlTable } from "./docs-ioctls.ts";
import { benchTable, scenarioTable } from "./docs-lists.ts";
import { metricsTable } from "./docs-metrics.ts";
import { shareLines } from "./docs-monitors.ts";
import { structParts } from "./docs-structs.ts";
import { hexadecimal, table } from "./docs-table.ts";

const code = (text: string) => `\`${text}\``;

const toolTable = () =>
  table(
    ["tool", "what it does"],
    tools.map((tool) => [code(calledAs(tool)), tool.summary]),
  );

/** The options in the order of --help. */
const optionsInOrder = (tool: ToolText) => grouped(optionsOf(tool)).flatMap(({ rows }) => rows);

/** All options of all tools, a section each. */
async function optionSections(): Promise<string> {
  const sections: string[] = [];
  for (const row of tools) {
    const tool = await row.load();
    const called = calledAs(row);
    const operands = Object.entries<Operand>(tool.operands ?? {});
    const line = (row: { help: string }, range: string) => `${row.help}${range}`;
    sections.push(
      `## ${called}`,
      `${tool.summary[0]?.toUpperCase()}${tool.summary.slice(1)}.`,
      table(
        ["option", "value", "default", "what it does"],
        [
          ...operands.map(([name, operand]) => [
            code(operand.value ?? name),
            "",
            operand.required === true ? "required" : "",
            line(operand, rangeText(operand)),
          ]),
          ...optionsInOrder(tool).map(([name, option]) => [
            code(spelled(name, option)),
            option.type === "flag" ? "" : valueText(option),
            "required" in option ? "required" : defaultText(option),
            line(option, rangeText(option)),
          ]),
        ],
      ),
      ["```", ...tool.examples.map((one) => exampleLine(tool, one, called)), "```"].join("\n"),
    );
  }
  return sections.join("\n\n");
}

const exitCodeTable = () =>
  table(
    ["status", "meaning"],
    Object.values(exitCodes).map(({ status, meaning }) => [`${status}`, meaning]),
  );

const shapeOf = ({ planes }: PixelFormat) =>
  planes.map(({ bytes, across, down }) => `${bytes} per ${across}x${down}`).join(", ");

const formatTable = () =>
  table(
    [
      "format",
      "colours",
      "planes: bytes per pixels",
      "640x480, bytes",
      "window",
      ".y4m",
      "ffplay -pixel_format",
      "GStreamer, if another name",
    ],
    formats.map((format) => [
      format.sentAs === undefined ? format.name : `${format.name}, sent as ${format.sentAs}`,
      format.model,
      shapeOf(format),
      `${pictureBytes(format, 640, 480)}`,
      format.sdl === undefined && format.sentAs === undefined ? "converted" : "yes",
      format.y4m ?? "",
      format.ffmpeg,
      format.gstreamer ?? "",
    ]),
  );

const kindTable = () =>
  table(
    ["flag", "`--share`", "kind"],
    handleKinds.map(({ flag, share, kind }) => [hexadecimal(flag), share, kind]),
  );

const vhostTable = () =>
  table(
    [
      ...["number", "request", "payload, bytes", "descriptors"],
      ...["protocol feature", "answer of its own", "is"],
    ],
    messageRows
      .toSorted((a, b) => a.request - b.request)
      .map(({ request, name, size, fds, needs, answers, run }) => [
        `${request}`,
        name,
        typeof size === "object" ? `from ${size.from}` : `${size ?? ""}`,
        `${fds ?? ""}`,
        needs ?? "",
        answers === undefined ? "" : "yes",
        run === undefined ? "refused" : "served",
      ]),
  );

const fourccText = (value: number) =>
  String.fromCharCode(...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)).trimEnd();

const videoFormatTable = () =>
  table(
    ["name", "number", "V4L2", "what it is", "joined from"],
    videoFormats.map(({ number, name, fourcc, coded, split }) => [
      name,
      hexadecimal(number),
      fourccText(fourcc),
      coded ? "bitstream" : "pictures",
      split.map(fourccText).join(", "),
    ]),
  );

export const parts: Parts = {
  tools: toolTable,
  options: optionSections,
  "exit codes": exitCodeTable,
  formats: formatTable,
  "handle kinds": kindTable,
  "vhost messages": vhostTable,
  "video commands": commandTable,
  "video formats": videoFormatTable,
  "media ioctls": ioctlTable,
  errors: errorClasses,
  benches: benchTable,
  scenarios: scenarioTable,
  metrics: metricsTable,
  "share lines": shareLines,
  ...structParts,
};

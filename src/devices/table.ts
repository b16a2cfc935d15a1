// Reports as text for people, at most 80 columns where words allow it.
import type { Holder } from "./holders.ts";
import type { ControlReport, DeviceReport, FormatReport, Pixels, SizeReport } from "./report.ts";

/** A report with what is known besides: names in /dev/v4l, and programs that have the node open. */
export interface ListedDevice extends DeviceReport {
  readonly byId: readonly string[];
  readonly byPath: readonly string[];
  readonly usedBy: readonly Holder[];
}

const COLUMNS = 80;
/** Where values begin. */
const INDENT = 13;

/** Joins `parts` by ", " in lines that fit; lines after the first begin with `hang` more blanks. */
function wrap(parts: readonly string[], indent: number, hang = 2): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const [i, part] of parts.entries()) {
    const text = i === parts.length - 1 ? part : `${part},`;
    const start = lines.length === 0 ? indent : indent + hang;
    if (line !== "" && start + line.length + 1 + text.length > COLUMNS) {
      lines.push(line);
      line = text;
    } else line = line === "" ? text : `${line} ${text}`;
  }
  if (line !== "") lines.push(line);
  return lines.map((each, i) => (i === 0 ? each : " ".repeat(hang) + each));
}

/** Lines with a label before the first. */
const labelled = (label: string, lines: readonly string[]) =>
  lines.map((line, i) => `  ${(i === 0 ? label : "").padEnd(INDENT - 2)}${line}`);

/** The section of one device. */
export function deviceText(device: ListedDevice): string {
  const { node, card, kinds, driver, bus, api, problem, use, usedBy, byId, byPath } = device;
  const lines = [card === "" ? node : `${node}  ${card}`];
  if (problem !== undefined) lines.push(...labelled("problem", [problem]));
  const about = [driver, bus, ...api].filter((text) => text !== "");
  if (kinds.length > 0) lines.push(...labelled(kinds.join(", "), wrap(about, INDENT)));
  // A device on a hub has a long name in by-path; it is shown where there is no name in by-id.
  if (byId.length > 0) lines.push(...labelled("by-id", byId));
  else lines.push(...labelled("by-path", byPath));
  const programs = usedBy.map(({ program, pid }) => `${program} (${pid})`);
  lines.push(...labelled("used by", wrap(programs, INDENT)));
  lines.push(...formatLines(device), ...controlLines(device.controls ?? []));
  if (use !== undefined) lines.push(...labelled("use", [use]));
  return lines.join("\n");
}

/** The formats of a report, those with the same sizes and rates together. */
export function formatLines({ formats, cut }: Pick<DeviceReport, "formats" | "cut">): string[] {
  const lines = (["output", "capture"] as const).flatMap((queue) => {
    const groups = Map.groupBy(
      formats.filter((format) => format.queue === queue),
      ({ sizes }) => sizeLines(sizes).join("\n"),
    );
    const text = [...groups].flatMap(([sizes, group]) => [
      ...wrap(group.map(formatText), INDENT, 0),
      ...(sizes === "" ? [] : sizes.split("\n")),
    ]);
    return labelled(queue === "output" ? "takes" : "gives", text);
  });
  if (cut) lines.push(...labelled("", ["... the driver lists more than was read"]));
  return lines;
}

function formatText({ format, description, compressed }: FormatReport): string {
  const about = [description, compressed && !/compressed/i.test(description) ? "compressed" : ""];
  const text = about.filter((each) => each !== "" && each !== format).join(", ");
  return text === "" ? format : `${format} (${text})`;
}

/** Sizes with the same rates in one line. */
function sizeLines(sizes: readonly SizeReport[]): readonly string[] {
  const groups = Map.groupBy(sizes, ({ fps }) => ratesText(fps));
  return [...groups].flatMap(([rates, group]) => {
    const text = group.map(sizeText);
    if (rates !== "") text[text.length - 1] += ` at ${rates}`;
    return wrap(text, INDENT + 2).map((line) => `  ${line}`);
  });
}

function sizeText({ width, height }: SizeReport): string {
  const at = (end: "min" | "max") => `${pixelsAt(width, end)}x${pixelsAt(height, end)}`;
  if (typeof width === "number" && typeof height === "number") return at("min");
  const steps = `${stepOf(width)}x${stepOf(height)}`;
  const range = `${at("min")} to ${at("max")}`;
  return steps === "1x1" ? range : `${range} in steps of ${steps}`;
}

const pixelsAt = (pixels: Pixels, end: "min" | "max") =>
  typeof pixels === "number" ? pixels : pixels[end];
const stepOf = (pixels: Pixels) => (typeof pixels === "number" ? 1 : pixels.step || 1);

function ratesText(fps: SizeReport["fps"]): string {
  if ("min" in fps) return `${fps.min} to ${fps.max} fps`;
  return fps.length === 0 ? "" : `${fps.join(", ")} fps`;
}

const controlLines = (controls: readonly ControlReport[]) =>
  labelled(
    "controls",
    controls.flatMap((control) => wrap(controlText(control), INDENT)),
  );

/** A control as -c takes it, with its values and default. */
function controlText(control: ControlReport): readonly string[] {
  const { name, type, value, flags } = control;
  const text = value === undefined ? name : `${name}=${value}`;
  const about = [type, ...valuesText(control), ...flags];
  about[0] = `${text} (${about[0]}`;
  about[about.length - 1] += ")";
  return about;
}

function valuesText({ type, min, max, step, menu, ...control }: ControlReport): string[] {
  if (type === "button" || type === "compound") return [];
  if (type === "str") return [`${min} to ${max} bytes`];
  const preset = `default ${control.default}`;
  if (type === "bool") return [preset];
  if (menu.length > 0) return [...menu.map(({ index, text }) => `${index} ${text}`), preset];
  if (type === "bitmask") return [`bits 0x${Number(max).toString(16)}`, preset];
  return [`${min} to ${max}${Number(step) > 1 ? ` step ${step}` : ""}`, preset];
}

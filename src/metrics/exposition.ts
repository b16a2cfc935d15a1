// The text format of Prometheus, version 0.0.4: HELP and TYPE once for each name, then its samples.
import type { FigureKind } from "../cli/figures.ts";
import { BUCKETS, bucketEndUs } from "../cli/histogram.ts";
import type { About } from "./messages.ts";
import { histogramCells } from "./shared-figures.ts";

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Values of one figure at one time. */
export interface Sample {
  readonly kind: FigureKind;
  readonly labels: Readonly<Record<string, string>>;
  /** The value; of a histogram its cells (shared-figures.ts). */
  readonly cells: Float64Array;
}

/** Figures of the process and of the build, of every tool. */
export const processFigures = {
  resident: {
    metric: "process_resident_memory_bytes",
    type: "gauge",
    help: "Resident memory of this process, in bytes. Processes of front-ends are not in it.",
  },
  start: {
    metric: "process_start_time_seconds",
    type: "gauge",
    help: "Start of this process, in seconds since 1970.",
  },
  cpu: {
    metric: "process_cpu_seconds_total",
    type: "counter",
    help: "Processor time of this process, user and system, in seconds.",
  },
  build: {
    metric: "framepass_build_info",
    type: "gauge",
    help: "Always 1; its labels say what runs.",
    labels: { tool: "name of the tool", version: "the line of --version" },
  },
} as const satisfies Record<string, FigureKind>;

/** What the process itself shows. */
export interface ProcessState {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** The whole text of /metrics. */
export function exposition(samples: readonly Sample[], about: About, state: ProcessState): string {
  const one = (kind: FigureKind, value: number, labels = {}): Sample => ({
    kind,
    labels,
    cells: Float64Array.of(value),
  });
  const { tool, version, startedAt } = about;
  const all = [
    ...samples,
    one(processFigures.resident, state.residentBytes),
    one(processFigures.start, startedAt),
    one(processFigures.cpu, state.cpuSeconds),
    one(processFigures.build, 1, { tool, version }),
  ];
  const lines: string[] = [];
  for (const [metric, group] of Map.groupBy(all, ({ kind }) => kind.metric)) {
    const { type, help } = group[0]?.kind ?? { type: "untyped", help: "" };
    lines.push(`# HELP ${metric} ${escaped(help)}`, `# TYPE ${metric} ${type}`);
    for (const sample of group) lines.push(...sampleLines(sample));
  }
  return `${lines.join("\n")}\n`;
}

function sampleLines({ kind, labels, cells }: Sample): string[] {
  if (kind.type !== "histogram") return [line(kind.metric, labels, cells[0] ?? 0)];
  const counts = bucketCounts(cells);
  const total = counts.at(-1) ?? 0;
  return [
    ...BUCKET_ENDS_S.map((end, i) =>
      line(`${kind.metric}_bucket`, { ...labels, le: `${end}` }, counts[i] ?? 0),
    ),
    line(`${kind.metric}_bucket`, { ...labels, le: "+Inf" }, total),
    line(`${kind.metric}_sum`, labels, (cells[histogramCells.sumUs] ?? 0) / 1e6),
    line(`${kind.metric}_count`, labels, total),
  ];
}

/** Upper limits of the buckets that are shown, in seconds. */
const BUCKET_ENDS_S = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
] as const;

/** For each shown bucket, the durations that do not exceed its limit; then all durations. */
function bucketCounts(cells: Float64Array): number[] {
  const counts: number[] = [];
  let bucket = 0;
  let sum = 0;
  for (const end of [...BUCKET_ENDS_S.map((seconds) => seconds * 1e6), Number.POSITIVE_INFINITY]) {
    for (; bucket < BUCKETS && bucketEndUs(bucket) <= end; bucket++)
      sum += cells[histogramCells.buckets + bucket] ?? 0;
    counts.push(sum);
  }
  return counts;
}

function line(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${quoted(text)}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`;
}

const escaped = (text: string) => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
const quoted = (text: string) => escaped(text).replaceAll('"', '\\"');

// A strict reader of the text format of Prometheus, and the rules for its names:
// prometheus.io/docs/instrumenting/exposition_formats and /docs/practices/naming. It throws at the first line that is wrong.

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Read[];
}

export interface Read {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const NAME = /^[a-z][a-z0-9_]*$/;
const SAMPLE = /^([a-z][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\})? (\S+)$/;
const TYPES = ["counter", "gauge", "histogram"];
/** Units that names may have; others are not base units. */
const WRONG_UNIT = /_(ms|us|milliseconds|microseconds|minutes|kb|mb|kilobytes|percent)(_|$)/;

/** Reads a whole answer: the families by name. */
export function readExposition(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, { type: string; help: string; samples: Read[] }>();
  let current = "";
  let help: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, word, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (word === "HELP") {
      if (families.has(name)) throw new Error(`${name} has two groups of samples`);
      current = name;
      help = rest;
    } else if (word === "TYPE") {
      if (name !== current || help === undefined) throw new Error(`no HELP before ${line}`);
      if (!TYPES.includes(rest)) throw new Error(`wrong type: ${line}`);
      families.set(name, { type: rest, help, samples: [] });
      help = undefined;
    } else {
      const family = families.get(current);
      if (family === undefined) throw new Error(`no HELP and TYPE before ${line}`);
      family.samples.push(readSample(line, current));
    }
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

function readSample(line: string, family: string): Read {
  const [, name = "", pairs = "", number = ""] = SAMPLE.exec(line) ?? [];
  if (name === "") throw new Error(`no sample: ${line}`);
  if (name.replace(/_(bucket|sum|count)$/, "") !== family && name !== family)
    throw new Error(`${line} is in the group of ${family}`);
  const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
  if (Number.isNaN(value)) throw new Error(`no number: ${line}`);
  const labels: Record<string, string> = {};
  for (const [, key = "", quoted = ""] of pairs.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)) {
    if (key in labels) throw new Error(`two labels ${key}: ${line}`);
    labels[key] = quoted.replaceAll(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
  }
  return { name, labels, value };
}

function checkFamily(name: string, { type, samples }: Family): void {
  if (!NAME.test(name)) throw new Error(`wrong name: ${name}`);
  if (!/^(framepass|process)_/.test(name)) throw new Error(`no prefix: ${name}`);
  if (WRONG_UNIT.test(name)) throw new Error(`no base unit: ${name}`);
  if ((type === "counter") !== name.endsWith("_total"))
    throw new Error(`a counter, and nothing else, ends in _total: ${name}`);
  if (samples.length === 0) throw new Error(`no samples: ${name}`);
  const keys = samples.map((sample) => `${sample.name} ${JSON.stringify(sample.labels)}`);
  if (new Set(keys).size !== keys.length) throw new Error(`a sample comes twice: ${name}`);
  if (type === "counter" && samples.some(({ value }) => value < 0))
    throw new Error(`below 0: ${name}`);
  if (type === "histogram") {
    const whose = ({ labels: { le: _le, ...labels } }: Read) => JSON.stringify(labels);
    for (const group of Map.groupBy(samples, whose).values()) checkHistogram(name, group);
  }
  if (type !== "histogram" && samples.some((sample) => sample.name !== name))
    throw new Error(`a stranger: ${name}`);
}

function checkHistogram(name: string, samples: readonly Read[]): void {
  const of = (part: string) => samples.filter((sample) => sample.name === `${name}_${part}`);
  const buckets = of("bucket");
  const ends = buckets.map(({ labels }) => Number(labels.le?.replace("+Inf", "Infinity")));
  const sorted = ends.every((end, i) => i === 0 || end > (ends[i - 1] ?? end));
  if (!sorted || ends.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`wrong le: ${name}`);
  const counts = buckets.map(({ value }) => value);
  if (counts.some((count, i) => count < (counts[i - 1] ?? 0)))
    throw new Error(`buckets do not add up: ${name}`);
  if (of("count")[0]?.value !== counts.at(-1)) throw new Error(`_count is not +Inf: ${name}`);
  if (of("sum").length !== 1) throw new Error(`no _sum: ${name}`);
}

/** The value of the sample with these labels; undefined without one. */
export function valueIn(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const family = families.get(name.replace(/_(bucket|sum|count)$/, "")) ?? families.get(name);
  const found = family?.samples.find(
    (sample) =>
      sample.name === name &&
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  return found?.value;
}

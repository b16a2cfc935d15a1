// The table of the figures that --metrics has, from their rows.
import { type FigureKind, streamFigures } from "../src/cli/figures.ts";
import { processFigures } from "../src/metrics/exposition.ts";
import { eachFrontEndFigures, frontEndFigure, ringFigures } from "../src/vhost/counts.ts";
import { table } from "./docs-table.ts";

const frontEnd = [
  frontEndFigure,
  ...Object.values(ringFigures),
  ...Object.values(eachFrontEndFigures),
];

const groups: readonly (readonly [string, readonly FigureKind[]])[] = [
  ["senders, receivers", Object.values(streamFigures)],
  ["vhost-user-video, vhost-user-media", frontEnd],
  ["all", Object.values(processFigures)],
];

const labelsText = ({ labels = {} }: FigureKind) =>
  Object.entries(labels)
    .map(([name, meaning]) => `\`${name}\`: ${meaning}`)
    .join("; ");

export const metricsTable = () =>
  table(
    ["figure", "type", "tools", "what it is", "labels"],
    groups.flatMap(([tools, kinds]) =>
      kinds.map((kind) => [`\`${kind.metric}\``, kind.type, tools, kind.help, labelsText(kind)]),
    ),
  );

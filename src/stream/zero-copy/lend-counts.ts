// What became of the frames that were lent to receivers, and the line about it.
import { countedWere } from "../../cli/counted.ts";
import { type Figure, statesOf, streamFigures } from "../../cli/figures.ts";

/** Counts of lent frames, over all connections. */
export interface LendCounts {
  /** Acknowledged. */
  returned: number;
  /** Acknowledged with a status that is not 0: the receiver could not use the frame. */
  refused: number;
  /** Not acknowledged in time. */
  overdue: number;
  /** Acknowledged after they were taken back. */
  late: number;
  /** In flight when the connection failed. The count of sent frames, which the lines before showed, is without them. */
  lost: number;
}

export const noCounts = (): LendCounts => ({
  returned: 0,
  refused: 0,
  overdue: 0,
  late: 0,
  lost: 0,
});

/** The counts as figures of --metrics. */
export const lentFigures = (counts: Readonly<LendCounts>): Figure[] =>
  statesOf(streamFigures.lent, {
    returned: () => counts.returned,
    refused: () => counts.refused,
    overdue: () => counts.overdue,
    late: () => counts.late,
    lost: () => counts.lost,
  });

/** The line for the summary. With an `ackTimeoutMs` of 0 no frame is overdue. */
export function lentText(counts: LendCounts, ackTimeoutMs: number): string {
  const { returned, refused, overdue, lost } = counts;
  const parts = [`${countedWere(returned, "frame")} returned`];
  if (refused > 0) parts.push(`${refused} of them with an error of the receiver`);
  if (lost > 0) parts.push(`${lost} lost with the connection`);
  if (ackTimeoutMs > 0) parts.push(`${overdue} took longer than ${ackTimeoutMs} ms`);
  return parts.join(", ");
}

/** The warning about frames that were not acknowledged in time. */
export function overdueText(frames: number, ackTimeoutMs: number, requeue: boolean): string {
  const buffers = requeue ? "such buffers are queued again" : "such buffers stay lent";
  return `${countedWere(frames, "frame")} not acknowledged in ${ackTimeoutMs} ms; ${buffers}`;
}

// The figures of a running tool that --metrics shows, a row each, and how a tool publishes them. The values are those of the
// statistics lines and of the JSON records; nothing is counted twice.
import type { Histogram } from "./histogram.ts";

/** What a figure is. */
export interface FigureKind {
  /** Name in the exposition format of Prometheus, with the unit. A counter ends in _total. */
  readonly metric: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Of each label: what its values mean. */
  readonly labels?: Readonly<Record<string, string>>;
  /** How the page plots it: its rate per second, of a histogram two percentiles in milliseconds. Not plotted without. */
  readonly plot?: { readonly title: string; readonly scale: number };
}

/** Why a sender or receiver did not get a frame. */
export const dropCauses = {
  source: "lost before the sender took it: the camera or the branch to this receiver was full",
  passed: "passed over by the sender: the receiver was slow, or --latest",
  sequence: "not received: a gap in the sequence numbers of the sender",
} as const;

export type DropCause = keyof typeof dropCauses;
/** Frames that were dropped, by cause. */
export type Drops = Readonly<Partial<Record<DropCause, number>>>;

const causeText = Object.entries(dropCauses)
  .map(([cause, meaning]) => `${cause}: ${meaning}`)
  .join("; ");

/** The figures of senders and receivers. */
export const streamFigures = {
  frames: {
    metric: "framepass_frames_total",
    type: "counter",
    help: "Frames that were sent, or received.",
    plot: { title: "Frames per second", scale: 1 },
  },
  bytes: {
    metric: "framepass_frame_bytes_total",
    type: "counter",
    help: "Bytes of these frames.",
    plot: { title: "MB per second", scale: 1e-6 },
  },
  drops: {
    metric: "framepass_frames_dropped_total",
    type: "counter",
    help: "Frames that were lost or left out, by cause.",
    labels: { cause: causeText },
    plot: { title: "Dropped frames per second", scale: 1 },
  },
  errors: {
    metric: "framepass_frames_damaged_total",
    type: "counter",
    help: "Frames that the camera marked as damaged; at a receiver also connections that ended with an error.",
  },
  short: {
    metric: "framepass_frames_short_total",
    type: "counter",
    help: "Frames with fewer bytes than a whole picture.",
  },
  connections: {
    metric: "framepass_connections_total",
    type: "counter",
    help: "Connections on which a stream began. Each after the first is a reconnect.",
  },
  failures: {
    metric: "framepass_failures_total",
    type: "counter",
    help: "Failures after which the tool goes on: lost connections, refused senders.",
  },
  streaming: {
    metric: "framepass_streaming",
    type: "gauge",
    help: "1 while a stream runs, 0 while the tool waits for one.",
  },
  seconds: {
    metric: "framepass_stream_seconds_total",
    type: "counter",
    help: "Seconds with a stream.",
  },
  latency: {
    metric: "framepass_latency_seconds",
    type: "histogram",
    help: "Age of a frame when it was received, shown or returned, counted where one clock stamps both ends. The limits are exact to 2 %.",
    plot: { title: "Latency, ms", scale: 1 },
  },
  lent: {
    metric: "framepass_lent_frames_total",
    type: "counter",
    help: "sender_zc: what became of the frames that were lent, by state.",
    labels: {
      state:
        "returned; refused: returned with an error; overdue: not returned in time; late: returned after that; lost: with the connection",
    },
  },
  window: {
    metric: "framepass_window_frames_total",
    type: "counter",
    help: "Receivers with a window: what became of the frames, by state.",
    labels: { state: "shown; passed: replaced by a newer one; not_showable" },
  },
  leftOut: {
    metric: "framepass_output_frames_left_out_total",
    type: "counter",
    help: "Frames that were received and that files and cameras did not take.",
  },
} as const satisfies Record<string, FigureKind>;

/** A figure of `kind` for each state, with its count. */
export const statesOf = (
  kind: FigureKind,
  states: Readonly<Record<string, () => number>>,
): Figure[] => Object.entries(states).map(([state, value]) => ({ kind, labels: { state }, value }));

/** One figure with its labels, and where its value is. */
export interface Figure {
  readonly kind: FigureKind;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: (() => number) | Histogram;
}

/** Published figures. Disposing it publishes the last values, which stay. */
export interface Published extends Disposable {
  /** Publishes the values now. Without a call that happens a few times a second. */
  update(): void;
  /** Ends the figures: they are not shown any more, because what they are of is gone. */
  withdraw(): void;
}

/** Where a tool publishes its figures. */
export interface FigureSink {
  /** Publishes `figures`, with `labels` that all of them get. */
  publish(figures: readonly Figure[], labels?: Readonly<Record<string, string>>): Published;
}

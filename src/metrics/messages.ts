// What the loop and the worker of --metrics say to each other. Values are in shared memory, messages only say where.
import type { FigureKind } from "../cli/figures.ts";
import type { Picture } from "../format/picture-layout.ts";

/** Cells of the shared control memory, an Int32Array. */
export const control = {
  /** 1: the worker wants a picture. The loop sets it to 0 when it has copied one. */
  pictureWanted: 0,
  /** Counts up each time the loop has updated the figures: it shows that the loop runs. */
  beats: 1,
  cells: 2,
} as const;

export type Place =
  | { readonly path: string }
  | {
      readonly host: string;
      readonly port: number;
      readonly loopback: boolean;
      /** The name that the user gave for the address. */
      readonly name?: string;
    };

/** What the worker knows about its tool. */
export interface About {
  readonly tool: string;
  readonly version: string;
  /** Seconds since 1970. */
  readonly startedAt: number;
  /** Whether it receives pictures. */
  readonly pictures: boolean;
}

/** One figure as the worker knows it: its value is at `cell` of its group's memory, of a histogram `cells` numbers. */
export interface SharedFigure {
  readonly kind: FigureKind;
  readonly labels: Readonly<Record<string, string>>;
  readonly cell: number;
}

export type ToWorker =
  | {
      readonly is: "open";
      readonly place: Place;
      readonly about: About;
      readonly control: SharedArrayBuffer;
    }
  | {
      readonly is: "figures";
      /** The group's number. */
      readonly group: number;
      readonly figures: readonly SharedFigure[];
      readonly memory: SharedArrayBuffer;
    }
  | {
      readonly is: "withdrawn";
      readonly group: number;
    }
  | {
      readonly is: "picture";
      readonly stream: Picture;
      readonly bytes: number;
      readonly memory: SharedArrayBuffer;
    };

export type FromWorker =
  | { readonly is: "open" }
  | { readonly is: "refused"; readonly code: string }
  | { readonly is: "warning"; readonly text: string };

// Fuzz targets. A case is a script of steps that depends only on its seed: it can be repeated, also with steps left out.
import { Random } from "../support/random.ts";

/** A target that was set up once for all cases. */
export interface Opened extends Disposable {
  /** Runs the case of `seed`, or only its steps `keep`. Throws when something is wrong. */
  attempt(seed: number, keep?: readonly number[]): void | Promise<void>;
}

export interface Target {
  readonly name: string;
  readonly title: string;
  /** The share of the cases that it gets, at most 1: its cases take longer. */
  readonly weight: number;
  /** Its cases have limits of time: they need a share of a processor also while others want it. */
  readonly timed: boolean;
  open(): Opened;
  /** The steps of a case, a line each. */
  script(seed: number): string[];
}

/** Defines a target. A `Step` must be a value that JSON can represent. */
export function defineTarget<Step>(of: {
  readonly name: string;
  readonly title: string;
  readonly weight?: number;
  readonly timed?: boolean;
  readonly script: (random: Random) => Step[];
  readonly open: () => Disposable & {
    attempt(script: readonly Step[]): void | Promise<void>;
  };
}): Target {
  const { name, title, weight = 1, timed = false } = of;
  const steps = (seed: number) => of.script(new Random(seed));
  return {
    name,
    title,
    weight,
    timed,
    open() {
      const opened = of.open();
      return {
        attempt(seed, keep) {
          const whole = steps(seed);
          const kept = keep === undefined ? whole : whole.filter((_, i) => keep.includes(i));
          return opened.attempt(kept);
        },
        [Symbol.dispose]: () => opened[Symbol.dispose](),
      };
    },
    script: (seed) =>
      steps(seed).map((step) =>
        JSON.stringify(step, (_, v) => (typeof v === "bigint" ? `${v}n` : v)),
      ),
  };
}

/** The error of a case; undefined when it does not fail. */
export type Fails = (keep: readonly number[]) => Promise<unknown>;

/** Finds few of `count` steps that still fail, and their error. */
export async function shrink(
  count: number,
  fails: Fails,
): Promise<{ keep: readonly number[]; error: unknown }> {
  let keep: readonly number[] = Array.from({ length: count }, (_, i) => i);
  let error = await fails(keep);
  for (let before = count + 1; keep.length < before; ) {
    before = keep.length;
    for (let i = keep.length - 1; i >= 0; i--) {
      const fewer = keep.filter((_, k) => k !== i);
      const now = await fails(fewer);
      if (now === undefined) continue;
      keep = fewer;
      error = now;
    }
  }
  return { keep, error };
}

/** The text about a failing case: its seed, the error, and the steps that reproduce it. */
export function report(
  target: Target,
  seed: number,
  keep: readonly number[],
  error: unknown,
): string {
  const lines = target.script(seed).filter((_, i) => keep.includes(i));
  return [`${target.name}, seed ${seed}: ${String(error)}`, ...lines].join("\n");
}

/** Runs cases from `firstSeed` on while `more` returns true. Throws at the first that fails, with its shortest script. */
export async function runCases(
  target: Target,
  firstSeed: number,
  more: (done: number) => boolean,
): Promise<number> {
  using opened = target.open();
  let done = 0;
  for (; more(done); done++) {
    const seed = (firstSeed + done) >>> 0;
    try {
      const running = opened.attempt(seed);
      if (running !== undefined) await running;
    } catch (error) {
      const { keep, error: last } = await shrink(target.script(seed).length, (steps) =>
        failure(opened, seed, steps),
      );
      throw new Error(report(target, seed, keep, last ?? error), { cause: error });
    }
  }
  return done;
}

async function failure(opened: Opened, seed: number, keep: readonly number[]): Promise<unknown> {
  try {
    await opened.attempt(seed, keep);
    return undefined;
  } catch (error) {
    return error ?? new Error("it failed");
  }
}

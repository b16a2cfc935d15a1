// The source of a sender while it is open, for one receiver or several. With several, each has a branch of it.
import { log } from "../cli/log.ts";
import { fourccName } from "../format/formats.ts";
import type { Source } from "../frame/source.ts";
import type { Loop } from "../loop.ts";
import { Fanout } from "./fanout.ts";

/** What `open` opens: a source, and with zero copy its exporter. */
export interface Opened {
  readonly source: Source;
}

interface Held<O extends Opened> {
  /** What each receiver is sent from. */
  readonly parts: readonly O[];
  readonly fanout: Fanout | undefined;
  readonly owned: DisposableStack;
}

interface Totals {
  drops: number;
  errors: number;
}

export class Supply<O extends Opened> implements Disposable {
  readonly #loop: Loop;
  readonly #open: (owned: DisposableStack) => O;
  /** Counts of sources that were closed, for each receiver. */
  readonly #before: readonly Totals[];
  #held: Held<O> | undefined;

  /** `open` opens the source. What has to be disposed with it belongs to `owned`. */
  constructor(loop: Loop, open: (owned: DisposableStack) => O, receivers: number) {
    this.#loop = loop;
    this.#open = open;
    this.#before = Array.from({ length: receivers }, () => ({ drops: 0, errors: 0 }));
  }

  /** What `receiver` is sent from; opens the source if it is not open. Throws what opening it throws. */
  take(receiver: number): O {
    this.#held ??= this.#openSource();
    const part = this.#held.parts[receiver];
    if (part === undefined) throw new RangeError(`receiver ${receiver} has no source`);
    return part;
  }

  #openSource(): Held<O> {
    using owned = new DisposableStack();
    const opened = this.#open(owned);
    const { source } = opened;
    sayOpened(source);
    const receivers = this.#before.length;
    const fanout = receivers > 1 ? owned.use(new Fanout(this.#loop, source, receivers)) : undefined;
    const parts = fanout?.branches.map((branch) => ({ ...opened, source: branch })) ?? [opened];
    return { parts, fanout, owned: owned.move() };
  }

  /** The source has ended: closes it when its last user has left, so that it is opened again. */
  ended(): void {
    const { fanout } = this.#held ?? {};
    if (fanout === undefined || (fanout.failure !== undefined && !fanout.streaming)) this.#close();
  }

  /** What `receiver` lost so far. */
  totals(receiver: number): Totals {
    const { drops = 0, errors = 0 } = this.#before[receiver] ?? {};
    const source = this.#held?.parts[receiver]?.source;
    return { drops: drops + (source?.drops ?? 0), errors: errors + (source?.errors ?? 0) };
  }

  #close(): void {
    for (const [i, before] of this.#before.entries()) Object.assign(before, this.totals(i));
    const held = this.#held;
    this.#held = undefined;
    held?.owned.dispose();
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

function sayOpened(source: Source): void {
  const { width, height, pixelformat, sizeimage } = source.picture;
  const rate = source.fps === undefined ? "" : ` at ${Number(source.fps.toFixed(3))} fps`;
  log.info(
    `${source.name}: ${width}x${height} ${fourccName(pixelformat)}${rate}, ${sizeimage} bytes a frame, ${source.frames.length} ${source.memory} buffers`,
  );
}

/** Fields of the record about a source that was opened. */
export function openedFields({ name, picture, frames, memory, fps }: Source) {
  const { width, height, pixelformat, sizeimage } = picture;
  return {
    device: name,
    width,
    height,
    format: fourccName(pixelformat),
    sizeimage,
    buffers: frames.length,
    memory,
    ...(fps !== undefined && { fps }),
  };
}

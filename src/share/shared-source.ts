// A source and what makes its buffers reachable for a peer, in one.
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import type { Picture } from "../format/picture-layout.ts";
import type { Frame } from "../frame/frame.ts";
import type { Exporter, SharedSource } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";

export class Shared implements SharedSource {
  readonly name: string;
  readonly picture: Picture;
  readonly fps: number | undefined;
  readonly frames: readonly Frame[];
  readonly memory: string;
  readonly onDemand: boolean;
  readonly exporter: Exporter;
  readonly #source: Source;
  readonly #owned = new DisposableStack();

  /** Owns `source`, what `makeExporter` makes of it, which goes first, and the memory `beneath`, which goes last. */
  constructor(
    source: Source,
    makeExporter: (source: Source) => Exporter,
    beneath: Disposable = new DisposableStack(),
  ) {
    using owned = new DisposableStack();
    owned.use(beneath);
    owned.use(source);
    this.exporter = owned.use(makeExporter(source));
    this.#source = source;
    this.name = source.name;
    this.picture = source.picture;
    this.fps = source.fps;
    this.frames = source.frames;
    this.memory = source.memory;
    this.onDemand = source.onDemand === true;
    log.info(`${source.name}: frames are shared by ${this.exporter.name}`);
    this.#owned.use(owned.move());
  }

  get fd(): number {
    return this.#source.fd;
  }
  get drops(): number {
    return this.#source.drops;
  }
  get errors(): number {
    return this.#source.errors;
  }
  start(): void {
    this.#source.start();
  }
  stop(): void {
    this.#source.stop();
  }
  next(): Frame | undefined {
    return this.#source.next();
  }
  urgent(): void {
    this.#source.urgent?.();
  }
  share(index: number): Fd {
    return this.#source.share(index);
  }

  [Symbol.dispose](): void {
    if (this.#owned.disposed) return;
    this.#source.stop(); // buffers are taken back from the peer when no device writes them any more
    this.#owned.dispose();
  }
}

// Frame memory that somebody on the other side of a connection maps, as the stream code sees it. How it is made
// reachable there is the business of share/, one file per way.
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import type { StreamInfo } from "./frame.ts";
import type { FrameBuffer } from "./memory.ts";
import type { Source } from "./source.ts";

/** One buffer as the peer is told of it, once, before the first frame. */
export type Handle = {
  /** Unique in its stream; 64 bits. */
  readonly id: bigint;
  /** Bytes of the buffer. */
  readonly length: number;
} & (Grants | Descriptor | Region);

/** Pages granted to the peer's Xen domain, one reference each. */
export interface Grants {
  readonly kind: "grants";
  readonly pageBytes: number;
  /** The domain that granted them. */
  readonly domain: number;
  readonly references: Uint32Array;
}

/** A descriptor that travels with the handle over a Unix socket. */
export interface Descriptor {
  readonly kind: "descriptor";
}

/** A part of a memory region that both sides have. */
export interface Region {
  readonly kind: "region";
  /** Byte of the region where the buffer begins. */
  readonly offset: number;
  /** Number of the region's present use, which its header repeats. */
  readonly generation: bigint;
}

/** The sender's side: its buffers, known to the peer's kernel or monitor. Disposing takes them back. */
export interface Exporter extends Disposable {
  /** For people: "virtio-media (4000 references)". */
  readonly name: string;
  /** One per frame of the source, in order. */
  readonly handles: readonly Handle[];
  /** The descriptor that goes with handle `index`; it stays the exporter's. */
  descriptor(index: number): number | undefined;
}

/** A source, and what makes its buffers reachable for the peer. */
export interface SharedSource extends Disposable {
  readonly source: Source;
  readonly exporter: Exporter;
}

/**
 * Shares the buffers of `source`, which it then owns, like the memory `beneath` them. Disposing stops the source first:
 * buffers are taken back from the peer when no device writes them any more. Then go exporter, source and memory.
 */
export function shareSource(
  source: Source,
  makeExporter: (source: Source) => Exporter,
  beneath?: Disposable,
): SharedSource {
  using owned = new DisposableStack();
  owned.use(beneath);
  owned.use(source);
  const exporter = owned.use(makeExporter(source));
  owned.defer(() => source.stop());
  log.info(`${source.name}: frames are shared by ${exporter.name}`);
  const release = owned.move();
  return { source, exporter, [Symbol.dispose]: () => release.dispose() };
}

/** The receiver's side: takes handles of one kind. */
export interface Importer extends Disposable {
  readonly name: string;
  readonly kind: Handle["kind"];
  /**
   * Maps what `handle` stands for; at least as many bytes as a frame of `stream` can have are readable then, or the
   * whole buffer where it is smaller. `passed` came with the handle and goes over to the importer.
   * Throws ProtocolError where the handle cannot be, UnavailableError where this host cannot take it.
   */
  import(handle: Handle, stream: StreamInfo, passed: Fd | undefined): FrameBuffer;
}

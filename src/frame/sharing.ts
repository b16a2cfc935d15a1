// Zero copy as the stream code sees it: the sender describes its buffers by handles, the receiver maps them. share/
// implements it, one file per way to share memory.
import type { Fd } from "../../ffi/fd.ts";
import { log } from "../cli/log.ts";
import type { StreamInfo } from "./frame.ts";
import type { FrameBuffer } from "./memory.ts";
import type { Source } from "./source.ts";

/** Describes one buffer to the peer. Sent once per buffer, before the first frame. */
export type Handle = {
  /** Unique in its stream; 64 bits. */
  readonly id: bigint;
  /** Bytes of the buffer. */
  readonly length: number;
} & (Grants | Descriptor | Region);

/** The references that a handle's message has room for. */
export const MAX_REFERENCES = 4000;

/** Pages granted to the peer's Xen domain, one reference each. */
export interface Grants {
  readonly kind: "grants";
  readonly pageBytes: number;
  /** The domain that granted them. */
  readonly domain: number;
  readonly references: Uint32Array;
  /** How many references its message has room for: the drivers of the two revisions differ. 4000 by default. */
  readonly room?: typeof MAX_REFERENCES | 512;
}

/** A descriptor that is sent with the handle over a Unix socket. */
export interface Descriptor {
  readonly kind: "descriptor";
}

/** A part of a memory region that both guests have. */
export interface Region {
  readonly kind: "region";
  /** Offset of the buffer in the region. */
  readonly offset: number;
  /** Random number of this use of the region; the region's header has the same one. */
  readonly generation: bigint;
}

/** The sender's side: makes its buffers reachable for the peer. Disposing ends that. */
export interface Exporter extends Disposable {
  /** For log lines: "virtio-media (4000 references)". */
  readonly name: string;
  /** One per frame of the source, in order. */
  readonly handles: readonly Handle[];
  /** The descriptor to send with handle `index`; the exporter keeps ownership. */
  descriptor(index: number): number | undefined;
}

/** A source and the exporter of its buffers. */
export interface SharedSource extends Disposable {
  readonly source: Source;
  readonly exporter: Exporter;
}

/**
 * Joins `source` with its exporter, and owns both, and the memory `beneath` the buffers. Disposing stops the source
 * first, so that no device writes buffers that are no longer shared; then it disposes exporter, source and memory.
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

/** The receiver's side: maps buffers from handles of one kind. */
export interface Importer extends Disposable {
  readonly name: string;
  readonly kind: Handle["kind"];
  /**
   * Maps the buffer of `handle` for reading: as many bytes as a frame of `stream` can have, or the whole buffer where it
   * is smaller. Takes ownership of `passed`, the descriptor that came with the handle.
   * Throws ProtocolError when the handle is wrong, UnavailableError when this host cannot map it.
   */
  import(handle: Handle, stream: StreamInfo, passed: Fd | undefined): FrameBuffer;
}

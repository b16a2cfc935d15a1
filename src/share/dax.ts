// Sharing between two guests of one host, which both have the same host file as a dax device. The sender's camera writes
// its buffers there (V4L2_MEMORY_USERPTR); the receiver maps and reads them.
import { type Mapping, type Memory, pageSize } from "../../ffi/mapping.ts";
import { ProtocolError, UnavailableError } from "../errors.ts";
import type { StreamInfo } from "../frame/frame.ts";
import { type Allocator, type FrameBuffer, partOf } from "../frame/memory.ts";
import type { Exporter, Handle, Importer } from "../frame/sharing.ts";
import type { Source } from "../frame/source.ts";
import {
  checkHeader,
  clearHeader,
  HEADER_BYTES,
  headerWatch,
  mapRegion,
  openRegion,
  REGION_UNIT,
  type RegionFile,
  wholeUnits,
  writeHeader,
} from "./region.ts";

/** The sender's region. Allocates buffers one after the other, each from a page boundary on. */
export class RegionAllocator implements Allocator {
  readonly name: string;
  readonly #file: RegionFile;
  readonly #mapping: Mapping;
  #used = HEADER_BYTES;

  /** Opens and maps the region at `path`, up to 4 GiB of it. Throws UnavailableError. */
  constructor(path: string) {
    using owned = new DisposableStack();
    const file = owned.use(openRegion(path, true));
    const most = Math.floor(0xffff_ffff / REGION_UNIT) * REGION_UNIT;
    const length = Math.min(file.size, most);
    this.#mapping = owned.use(mapRegion(file, { offset: 0, length, writing: true }));
    // Before a buffer is written: receivers of an earlier stream see that its pictures are no longer valid.
    clearHeader(this.#mapping.bytes);
    this.#file = file;
    this.name = path;
    owned.move();
  }

  /** Bytes allocated so far, including the header. */
  get used(): number {
    return this.#used;
  }

  get memory(): Memory {
    return this.#mapping;
  }

  allocate(length: number): FrameBuffer {
    const end = this.#used + Math.ceil(length / pageSize) * pageSize;
    if (end > this.#mapping.length) {
      throw new UnavailableError(
        `region ${this.name}: ${this.#mapping.length} bytes, the buffers need more than that; make it larger with framepass share create, or use fewer --buffers`,
      );
    }
    const part = partOf(this.#mapping.slice(this.#used, length));
    this.#used = end;
    return part;
  }

  /** Frees all buffers. */
  reset(): void {
    this.#used = HEADER_BYTES;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
    this.#file[Symbol.dispose]();
  }
}

/** Makes handles for the buffers of `source`, which are in `region`, and writes the region's header. Throws UnavailableError. */
export function exportRegion(source: Source, region: RegionAllocator): Exporter {
  const [random = 0n] = crypto.getRandomValues(new BigUint64Array(1));
  const { address, bytes } = region.memory;
  const handles = source.frames.map((frame) => {
    const [piece] = frame.pieces;
    if (piece === undefined || frame.pieces.length > 1)
      throw new UnavailableError(`${source.name}: its pictures are not in one piece`);
    return {
      kind: "region" as const,
      id: BigInt(frame.index + 1),
      length: piece.length,
      offset: piece.address - address,
      generation: random,
    };
  });
  const stream = { ...source.picture, bufferCount: source.frames.length };
  writeHeader(bytes, { stream, generation: random, used: region.used });
  return {
    name: `dax (${region.name})`,
    handles,
    descriptor: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
}

/** Maps handles that are parts of the region at `path`. Throws UnavailableError. */
export function importRegion(path: string): Importer {
  const region = openRegion(path, false);
  return {
    name: `dax (${path})`,
    kind: "region",
    import: (handle, stream, passed) => {
      passed?.[Symbol.dispose]();
      if (handle.kind !== "region")
        throw new ProtocolError(`handle ${handle.id}: not of kind region`);
      return mapPart(region, handle, stream);
    },
    [Symbol.dispose]: () => region[Symbol.dispose](),
  };
}

function mapPart(
  region: RegionFile,
  handle: Handle & { readonly kind: "region" },
  stream: StreamInfo,
): FrameBuffer {
  const { id, offset, length, generation } = handle;
  const place = `${offset} + ${length}`;
  if (offset < HEADER_BYTES || offset + length > region.size) {
    throw new ProtocolError(
      `handle ${id}: bytes ${place} are outside region ${region.path} of ${region.size}`,
    );
  }
  using owned = new DisposableStack();
  const first = Math.min(REGION_UNIT, region.size);
  const header = owned.use(mapRegion(region, { offset: 0, length: first, writing: false }));
  const changed = headerWatch(header.bytes);
  checkHeader(region.path, header.bytes, stream, generation);
  const from = Math.floor(offset / REGION_UNIT) * REGION_UNIT;
  const wanted = Math.min(length, stream.sizeimage);
  const to = Math.min(wholeUnits(offset + wanted), region.size);
  const mapping = owned.use(mapRegion(region, { offset: from, length: to - from, writing: false }));
  return partOf(mapping.slice(offset - from, wanted), owned.move(), changed);
}

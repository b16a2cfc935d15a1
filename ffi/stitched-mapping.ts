// Parts of files, mapped side by side between two guard pages: one stretch of memory for what lies in pieces.
import { AddressRange } from "./address-range.ts";
import { must } from "./errno.ts";
import { type FilePiece, joined, wholePages } from "./file-pieces.ts";
import { pageSize } from "./mapping.ts";

/** Mappings of a stretch besides its pieces. */
export const GUARDS = 2;

export class StitchedMapping implements Disposable {
  /** Bytes of all pieces. */
  readonly length: number;
  /** How many mappings it takes of those that a process may have (vm.max_map_count). */
  readonly mappings: number;
  readonly #range: AddressRange;

  /** Maps the pieces in their order; the files need not stay open. Throws UnfitFile or SysError, and then nothing is mapped. */
  constructor(pieces: readonly FilePiece[]) {
    const runs = joined(pieces);
    const bytes = runs.reduce((sum, { length }) => sum + length, 0);
    using owned = new DisposableStack();
    const what = `${runs.length} pieces of memory`;
    const range = owned.use(new AddressRange(wholePages(bytes) + 2 * pageSize, what));
    let at = range.address + pageSize;
    for (const { fd, offset, length } of runs) {
      must(range.map(at, wholePages(length), fd, offset), "mmap", what);
      at += length;
    }
    range.omitFromDumps();
    owned.move();
    this.#range = range;
    this.length = bytes;
    this.mappings = runs.length + GUARDS;
  }

  /** Address of the first byte. Throws once disposed. */
  get address(): number {
    return this.#range.address + pageSize;
  }

  [Symbol.dispose](): void {
    this.#range[Symbol.dispose]();
  }
}

// A dma-buf of parts of memfds: /dev/udmabuf. The memfds must be sealed against shrinking and may not be sealed against writing.
import { must } from "./errno.ts";
import { Fd, O_RDWR } from "./fd.ts";
import { type FilePiece, joined, wholePages } from "./file-pieces.ts";
import { ioctl } from "./ioctl.ts";
import {
  UDMABUF_CREATE_LIST,
  UDMABUF_FLAGS_CLOEXEC,
  udmabufCreateItem,
  udmabufCreateList,
} from "./linux/udmabuf.ts";

const DEVICE = "/dev/udmabuf";

/** Makes a dma-buf of the pieces in their order. It keeps their pages. Throws UnfitFile or SysError. */
export function makeUdmabuf(pieces: readonly FilePiece[]): Fd {
  const runs = joined(pieces);
  using device = Fd.open(DEVICE, O_RDWR);
  const bytes = new Uint8Array(
    new ArrayBuffer(udmabufCreateList.size + runs.length * udmabufCreateItem.size),
  );
  const list = udmabufCreateList.over(bytes);
  list.flags = UDMABUF_FLAGS_CLOEXEC;
  list.count = runs.length;
  let size = 0;
  for (const [i, { fd, offset, length }] of runs.entries()) {
    const item = udmabufCreateItem.over(bytes, udmabufCreateList.size + i * udmabufCreateItem.size);
    item.memfd = fd;
    item.offset = offset;
    item.size = wholePages(length);
    size += item.size;
  }
  const r = ioctl(device.number, UDMABUF_CREATE_LIST, list);
  const limits = "the limits are list_limit and size_limit_mb of the module udmabuf";
  const what = `${DEVICE} (${runs.length} pieces, ${size} bytes; ${limits})`;
  return new Fd(must(r, "UDMABUF_CREATE_LIST", what), "dma-buf");
}

// Messages about the memory table, and about the log of written pages, which is not offered.
import { MAX_REGIONS, type RegionRow } from "./memory.ts";
import { type Message, type MessageRow, wordOf } from "./message.ts";
import * as p from "./payloads.ts";
import { RequestRefused } from "./request-refused.ts";

function regionRows({ bytes }: Message): RegionRow[] {
  const { count } = p.regions.over(bytes);
  // UML always sends room for two regions: a payload may be longer.
  if (count > MAX_REGIONS || bytes.length < p.regions.size + count * p.region.size) {
    throw new RequestRefused(`${count} memory regions in ${bytes.length} bytes`);
  }
  return Array.from({ length: count }, (_, i) => {
    const { guest, size, user, offset } = p.region.over(bytes, p.regions.size + i * p.region.size);
    return { guest, size, user, offset };
  });
}

function oneRegion({ bytes }: Message): RegionRow {
  const { guest, size, user, offset } = p.singleRegion.over(bytes);
  return { guest, size, user, offset };
}

/** Their rows. */
export const memoryMessages: readonly MessageRow[] = [
  {
    request: 5,
    name: "SET_MEM_TABLE",
    size: { from: p.regions.size },
    fds: MAX_REGIONS,
    run(session, message) {
      const rows = regionRows(message);
      session.memory.replace(rows, message.fds.splice(0), () => session.queues.memoryChanged());
      return undefined;
    },
  },
  // Logging is not offered. Descriptors that some front-ends send anyway are closed.
  { request: 6, name: "SET_LOG_BASE", needs: "LOG_SHMFD", size: 16, fds: 1 },
  { request: 7, name: "SET_LOG_FD", size: 0, fds: 1, run: () => undefined },
  {
    request: 36,
    name: "GET_MAX_MEM_SLOTS",
    size: 0,
    needs: "CONFIGURE_MEM_SLOTS",
    answers: true,
    run: (session) => wordOf(BigInt(session.memory.most)),
  },
  {
    request: 37,
    name: "ADD_MEM_REG",
    size: 40,
    fds: 1,
    needs: "CONFIGURE_MEM_SLOTS",
    run(session, message) {
      const fd = message.fds.shift();
      if (fd === undefined) throw new RequestRefused("its descriptor is missing");
      session.memory.add(oneRegion(message), fd, () => session.queues.memoryChanged());
      return undefined;
    },
  },
  {
    request: 38,
    name: "REM_MEM_REG",
    size: 40,
    fds: 1, // some front-ends send one
    needs: "CONFIGURE_MEM_SLOTS",
    run(session, message) {
      const row = oneRegion(message);
      for (const ring of session.queues.rings) {
        const within = ring.place.touches((at, length) => session.memory.holds(row, at, length));
        if (ring.started && within)
          throw new RequestRefused(`vring ${ring.index} runs in that memory`);
      }
      session.memory.remove(row, () => session.queues.memoryChanged());
      return undefined;
    },
  },
];

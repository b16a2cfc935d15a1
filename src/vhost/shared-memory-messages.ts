// Messages about the shared memory region of a device, and the socket over which the back-end asks the front-end.
import type { MessageRow } from "./message.ts";
import * as p from "./payloads.ts";
import { RequestRefused } from "./request-refused.ts";

/** Their rows. */
export const sharedMemoryMessages: readonly MessageRow[] = [
  {
    request: 21,
    name: "SET_BACKEND_REQ_FD",
    size: 0,
    fds: 1,
    needs: "BACKEND_REQ",
    run(session, { fds }) {
      const fd = fds.shift();
      if (fd === undefined) throw new RequestRefused("its descriptor is missing");
      // Offered with a region only, so there is one.
      if (session.queues.region === undefined) fd[Symbol.dispose]();
      else session.queues.region.attach(fd);
      return undefined;
    },
  },
  {
    request: 44,
    name: "GET_SHMEM_CONFIG",
    size: 0,
    needs: "SHMEM",
    answers: true,
    run(session) {
      const config = p.shmemConfig.alloc();
      config.count = 1;
      config.size = session.queues.region?.size ?? 0;
      return { bytes: config.$bytes };
    },
  },
];

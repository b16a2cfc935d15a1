// Messages about rings: size, addresses, base, descriptors, enabling, and the inflight region.
import type { Fd } from "../../ffi/fd.ts";
import { InflightRegion } from "./inflight.ts";
import { type Message, type MessageRow, wordIn } from "./message.ts";
import * as p from "./payloads.ts";
import { RequestRefused } from "./request-refused.ts";
import type { Ring } from "./ring.ts";
import type { Session } from "./session.ts";

/** The ring and the number in a vring state. */
function stateOf(session: Session, { bytes }: Message): { ring: Ring; num: number } {
  const { index, num } = p.vringState.over(bytes);
  return { ring: session.queues.ring(index), num };
}

/** The ring and the descriptor in a message, which must carry one exactly when it announces one. */
function ringDescriptor(session: Session, message: Message): { ring: Ring; fd: Fd | undefined } {
  const value = wordIn(message);
  const announced = (value & p.NO_DESCRIPTOR) === 0n;
  if (message.fds.length !== (announced ? 1 : 0)) {
    throw new RequestRefused(`${message.fds.length} descriptors, ${announced ? 1 : 0} announced`);
  }
  const ring = session.queues.ring(Number(value & p.RING_MASK));
  return { ring, fd: message.fds.shift() };
}

/** Throws RequestRefused while the ring runs. */
function halted(session: Session, ring: Ring): void {
  if (!session.halt(ring)) throw new RequestRefused(`vring ${ring.index} is running`);
}

/** Their rows. */
export const ringMessages: readonly MessageRow[] = [
  {
    request: 8,
    name: "SET_VRING_NUM",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      halted(session, ring);
      ring.place.setSize(num);
      return undefined;
    },
  },
  {
    request: 9,
    name: "SET_VRING_ADDR",
    size: 40,
    run(session, message) {
      const { index, descriptors, available, used } = p.vringAddr.over(message.bytes);
      const ring = session.queues.ring(index);
      const before = ring.place.addresses;
      const same =
        before?.descriptors === descriptors &&
        before.available === available &&
        before.used === used;
      // The same addresses may be sent for a running ring, to change whether it is logged.
      if (same && ring.started && ring.enabled) return undefined;
      halted(session, ring);
      ring.place.addresses = { descriptors, available, used };
      // Wrong addresses are refused at once; they are checked again when the ring starts.
      if (ring.place.size > 0 && session.memory.size > 0) ring.place.areas();
      return undefined;
    },
  },
  {
    request: 10,
    name: "SET_VRING_BASE",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      if (num > 0xffff) throw new RequestRefused(`vring ${ring.index}: a base of ${num}`);
      halted(session, ring);
      ring.base = num;
      return undefined;
    },
  },
  {
    request: 11,
    name: "GET_VRING_BASE",
    size: 8,
    answers: true,
    run(session, message) {
      const { ring } = stateOf(session, message);
      const state = p.vringState.alloc();
      state.index = ring.index;
      state.num = session.queues.stop(ring);
      return { bytes: state.$bytes };
    },
  },
  {
    request: 12,
    name: "SET_VRING_KICK",
    size: 8,
    fds: 1,
    run(session, message) {
      const { ring, fd } = ringDescriptor(session, message);
      const running = !session.halt(ring);
      ring.setKick(fd);
      if (running) session.queues.changed(ring);
      else session.queues.start(ring);
      return undefined;
    },
  },
  {
    request: 13,
    name: "SET_VRING_CALL",
    size: 8,
    fds: 1,
    run(session, message) {
      const { ring, fd } = ringDescriptor(session, message);
      ring.setCall(fd);
      return undefined;
    },
  },
  {
    request: 14,
    name: "SET_VRING_ERR",
    size: 8,
    fds: 1,
    run(session, message) {
      const { ring, fd } = ringDescriptor(session, message);
      ring.setError(fd);
      return undefined;
    },
  },
  {
    request: 18,
    name: "SET_VRING_ENABLE",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      if (num > 1) throw new RequestRefused(`vring ${ring.index}: enable ${num}`);
      session.enable(ring, num === 1);
      return undefined;
    },
  },
  {
    request: 31,
    name: "GET_INFLIGHT_FD",
    size: { from: p.inflight.size },
    needs: "INFLIGHT_SHMFD",
    answers: true,
    refusal: () => new Uint8Array(new ArrayBuffer(p.INFLIGHT_PADDED)),
    run(session, { bytes }) {
      const { num_queues, queue_size } = p.inflight.over(bytes);
      if (num_queues < 1 || num_queues > session.device.queues || queue_size < 1) {
        throw new RequestRefused(`${num_queues} queues of ${queue_size} to track`);
      }
      const { fd, length } = InflightRegion.create(num_queues, queue_size);
      const answer = new Uint8Array(new ArrayBuffer(p.INFLIGHT_PADDED));
      const about = p.inflight.over(answer);
      about.mmap_size = length;
      about.num_queues = num_queues;
      about.queue_size = queue_size;
      return { bytes: answer, fd };
    },
  },
  {
    request: 32,
    name: "SET_INFLIGHT_FD",
    size: { from: p.inflight.size },
    fds: 1,
    needs: "INFLIGHT_SHMFD",
    run(session, { bytes, fds }) {
      const { mmap_size, mmap_offset, num_queues, queue_size } = p.inflight.over(bytes);
      const [fd] = fds;
      if (fd === undefined) throw new RequestRefused("its descriptor is missing");
      if (num_queues < 1 || num_queues > session.device.queues || queue_size < 1) {
        throw new RequestRefused(`${num_queues} queues of ${queue_size} to track`);
      }
      for (const ring of session.queues.rings) halted(session, ring);
      const region = new InflightRegion(fd, mmap_offset, mmap_size, num_queues, queue_size);
      fds.shift();
      session.queues.track(region);
      return undefined;
    },
  },
];

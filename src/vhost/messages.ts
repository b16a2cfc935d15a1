// The requests of a front-end, a row each: size, descriptors, what must have been negotiated, what it does. A request of
// later protocols has a row too, without `run`: it is refused by name. vhost-user, "Front-end message types".
import type { Fd } from "../../ffi/fd.ts";
import { VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_RING_PACKED } from "../virtio/features.ts";
import type { ProtocolFeature } from "./features.ts";
import { InflightRegion } from "./inflight.ts";
import type { RegionRow } from "./memory.ts";
import { MAX_REGIONS } from "./memory.ts";
import * as p from "./payloads.ts";
import { Refused } from "./refused.ts";
import type { Ring } from "./ring.ts";
import type { Session } from "./session.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A body to answer with; the descriptor goes along and is closed afterwards. */
export interface Answer {
  readonly bytes: Bytes;
  readonly fd?: Fd;
}

/** A message that was received whole. What `run` does not take out of `fds` is closed. */
export interface Message {
  readonly bytes: Bytes;
  readonly fds: Fd[];
}

export interface MessageRow {
  readonly request: number;
  readonly name: string;
  /** Bytes of the payload: exactly, or from so many on. */
  readonly size?: number | { readonly from: number };
  /** Most descriptors that may come along. */
  readonly fds?: number;
  /** Only when this was negotiated. */
  readonly needs?: ProtocolFeature;
  /** It has an answer of its own, which is never acknowledged on top. */
  readonly answers?: true;
  /** What tells the front-end that it failed, for those with an answer; without it the connection is closed. */
  readonly refusal?: () => Bytes;
  /** Does it. Throws Refused. */
  readonly run?: (session: Session, message: Message) => Answer | undefined;
}

const wordOf = (value: bigint): Answer => {
  const word = p.word.alloc();
  word.value = value;
  return { bytes: word.$bytes };
};
const wordIn = ({ bytes }: Message) => p.word.over(bytes).value;
const nothing = () => new Uint8Array(new ArrayBuffer(0));

/** The ring a vring state is about, with its number. */
function stateOf(session: Session, { bytes }: Message): { ring: Ring; num: number } {
  const { index, num } = p.vringState.over(bytes);
  return { ring: session.queues.ring(index), num };
}

/** The ring that a descriptor is for, and the descriptor, which must be there exactly when it is announced. */
function ringDescriptor(session: Session, message: Message): { ring: Ring; fd: Fd | undefined } {
  const value = wordIn(message);
  const announced = (value & p.NO_DESCRIPTOR) === 0n;
  if (message.fds.length !== (announced ? 1 : 0)) {
    throw new Refused(`${message.fds.length} descriptors, ${announced ? 1 : 0} announced`);
  }
  const ring = session.queues.ring(Number(value & p.RING_MASK));
  return { ring, fd: message.fds.shift() };
}

/** Refuses what must not be changed under a running ring. */
function halted(session: Session, ring: Ring): void {
  if (!session.halt(ring)) throw new Refused(`vring ${ring.index} is running`);
}

function regionRows({ bytes }: Message): RegionRow[] {
  const { count } = p.regions.over(bytes);
  // One front-end always sends room for two: more bytes than regions are fine.
  if (count > MAX_REGIONS || bytes.length < p.regions.size + count * p.region.size) {
    throw new Refused(`${count} memory regions in ${bytes.length} bytes`);
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

const supported: readonly MessageRow[] = [
  {
    request: 1,
    name: "GET_FEATURES",
    size: 0,
    answers: true,
    run: (session) => wordOf(session.offered),
  },
  {
    request: 2,
    name: "SET_FEATURES",
    size: 8,
    run(session, message) {
      const value = wordIn(message);
      const other = value & (VIRTIO_F_RING_PACKED | VIRTIO_F_ACCESS_PLATFORM);
      if (other !== 0n) throw new Refused(`features 0x${other.toString(16)} change the rings`);
      session.acknowledge(value);
      return undefined;
    },
  },
  { request: 3, name: "SET_OWNER", size: 0, run: () => undefined },
  {
    request: 4,
    name: "RESET_OWNER",
    size: 0,
    run(session) {
      session.reset();
      return undefined;
    },
  },
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
  // Logging is not offered; what some send all the same is taken and closed.
  { request: 6, name: "SET_LOG_BASE", size: 16, fds: 1 },
  { request: 7, name: "SET_LOG_FD", size: 0, fds: 1, run: () => undefined },
  {
    request: 8,
    name: "SET_VRING_NUM",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      halted(session, ring);
      ring.setSize(num);
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
      const before = ring.addresses;
      const same =
        before?.descriptors === descriptors &&
        before.available === available &&
        before.used === used;
      // A running ring may be told the same again: that only changes whether it is logged.
      if (same && ring.started && ring.enabled) return undefined;
      halted(session, ring);
      ring.addresses = { descriptors, available, used };
      // Wrong ones are told at once, and looked at again when the ring starts.
      if (ring.size > 0 && session.memory.size > 0) ring.areas();
      return undefined;
    },
  },
  {
    request: 10,
    name: "SET_VRING_BASE",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      if (num > 0xffff) throw new Refused(`vring ${ring.index}: a base of ${num}`);
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
    request: 15,
    name: "GET_PROTOCOL_FEATURES",
    size: 0,
    answers: true,
    run: (session) => wordOf(session.offeredProtocol),
  },
  {
    request: 16,
    name: "SET_PROTOCOL_FEATURES",
    size: 8,
    run(session, message) {
      session.setProtocol(wordIn(message));
      return undefined;
    },
  },
  {
    request: 17,
    name: "GET_QUEUE_NUM",
    size: 0,
    needs: "MQ",
    answers: true,
    run: (session) => wordOf(BigInt(session.device.queues)),
  },
  {
    request: 18,
    name: "SET_VRING_ENABLE",
    size: 8,
    run(session, message) {
      const { ring, num } = stateOf(session, message);
      if (num > 1) throw new Refused(`vring ${ring.index}: enable ${num}`);
      session.enable(ring, num === 1);
      return undefined;
    },
  },
  {
    request: 24,
    name: "GET_CONFIG",
    size: { from: p.config.size },
    needs: "CONFIG",
    answers: true,
    refusal: nothing,
    run(session, { bytes }) {
      const { offset, size } = p.config.over(bytes);
      if (size < 1 || offset + size > p.MAX_PAYLOAD - p.config.size) {
        throw new Refused(`${size} bytes of the config space at ${offset}`);
      }
      // What is beyond the config space reads as zero: one monitor ends when this fails.
      const answer = new Uint8Array(new ArrayBuffer(p.config.size + size));
      answer.set(bytes.subarray(0, p.config.size));
      answer.set(session.device.config().subarray(offset, offset + size), p.config.size);
      return { bytes: answer };
    },
  },
  {
    request: 25,
    name: "SET_CONFIG",
    size: { from: p.config.size },
    needs: "CONFIG",
    run() {
      throw new Refused("the config space is read-only");
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
        throw new Refused(`${num_queues} queues of ${queue_size} to track`);
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
      if (fd === undefined) throw new Refused("no descriptor came along");
      if (num_queues < 1 || num_queues > session.device.queues || queue_size < 1) {
        throw new Refused(`${num_queues} queues of ${queue_size} to track`);
      }
      for (const ring of session.queues.rings) halted(session, ring);
      const region = new InflightRegion(fd, mmap_offset, mmap_size, num_queues, queue_size);
      fds.shift();
      session.queues.track(region);
      return undefined;
    },
  },
  {
    request: 34,
    name: "RESET_DEVICE",
    size: 0,
    needs: "RESET_DEVICE",
    run(session) {
      session.reset();
      return undefined;
    },
  },
  {
    request: 36,
    name: "GET_MAX_MEM_SLOTS",
    size: 0,
    needs: "CONFIGURE_MEM_SLOTS",
    answers: true,
    run: () => wordOf(BigInt(MAX_REGIONS)),
  },
  {
    request: 37,
    name: "ADD_MEM_REG",
    size: 40,
    fds: 1,
    needs: "CONFIGURE_MEM_SLOTS",
    run(session, message) {
      const fd = message.fds.shift();
      if (fd === undefined) throw new Refused("no descriptor came along");
      session.memory.add(oneRegion(message), fd, () => session.queues.memoryChanged());
      return undefined;
    },
  },
  {
    request: 38,
    name: "REM_MEM_REG",
    size: 40,
    fds: 1, // some send one along
    needs: "CONFIGURE_MEM_SLOTS",
    run(session, message) {
      const row = oneRegion(message);
      for (const ring of session.queues.rings) {
        const within = ring.touches((at, length) => session.memory.holds(row, at, length));
        if (ring.started && within) throw new Refused(`vring ${ring.index} runs in that memory`);
      }
      session.memory.remove(row, () => session.queues.memoryChanged());
      return undefined;
    },
  },
  {
    request: 39,
    name: "SET_STATUS",
    size: 8,
    needs: "STATUS",
    run(session, message) {
      const status = wordIn(message);
      if (status > 0xffn) throw new Refused(`a status of 0x${status.toString(16)}`);
      if (status === 0n) session.reset();
      session.status = Number(status);
      return undefined;
    },
  },
  {
    request: 40,
    name: "GET_STATUS",
    size: 0,
    needs: "STATUS",
    answers: true,
    run: (session) => wordOf(BigInt(session.status)),
  },
];

const failure = () => wordOf(1n).bytes;

/** Requests we never take; a row says whether the front-end waits for an answer to it. */
const unsupported: readonly MessageRow[] = [
  { request: 19, name: "SEND_RARP" },
  { request: 20, name: "NET_SET_MTU" },
  { request: 21, name: "SET_BACKEND_REQ_FD" },
  { request: 22, name: "IOTLB_MSG" },
  { request: 23, name: "SET_VRING_ENDIAN" },
  { request: 26, name: "CREATE_CRYPTO_SESSION", answers: true },
  { request: 27, name: "CLOSE_CRYPTO_SESSION" },
  { request: 28, name: "POSTCOPY_ADVISE", answers: true },
  { request: 29, name: "POSTCOPY_LISTEN" },
  { request: 30, name: "POSTCOPY_END", answers: true },
  { request: 33, name: "GPU_SET_SOCKET" },
  { request: 35, name: "VRING_KICK" },
  { request: 41, name: "GET_SHARED_OBJECT", answers: true },
  { request: 42, name: "SET_DEVICE_STATE_FD", answers: true, refusal: failure },
  { request: 43, name: "CHECK_DEVICE_STATE", answers: true, refusal: failure },
  { request: 44, name: "GET_SHMEM_CONFIG", answers: true },
];

const rows = new Map([...supported, ...unsupported].map((row) => [row.request, row]));

/** All rows, for tests. */
export const messageRows: readonly MessageRow[] = [...rows.values()];

/** The row of a request; one for a number nobody has assigned is made up, and refused. */
export function messageRow(request: number): MessageRow {
  return rows.get(request) ?? { request, name: `request ${request}` };
}

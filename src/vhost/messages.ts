// The requests of a front-end, one row each: size, descriptors, protocol feature, action. Requests that are not served have a
// row without `run`, so that they are refused by name. vhost-user, "Front-end message types".
import { VIRTIO_F_ACCESS_PLATFORM, VIRTIO_F_RING_PACKED } from "../virtio/ring-layout.ts";
import type { VirtioDevice } from "../virtio/virtio-device.ts";
import { type ProtocolFeature, protocolFeatures } from "./features.ts";
import { memoryMessages } from "./memory-messages.ts";
import { type MessageRow, nothing, wordIn, wordOf } from "./message.ts";
import * as p from "./payloads.ts";
import { RequestRefused } from "./request-refused.ts";
import { ringMessages } from "./ring-messages.ts";
import { sharedMemoryMessages } from "./shared-memory-messages.ts";

/** Requests about the whole device. */
const deviceMessages: readonly MessageRow[] = [
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
      if (other !== 0n)
        throw new RequestRefused(`features 0x${other.toString(16)} change the rings`);
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
    request: 24,
    name: "GET_CONFIG",
    size: { from: p.config.size },
    needs: "CONFIG",
    answers: true,
    refusal: nothing,
    run(session, { bytes }) {
      const { offset, size } = p.config.over(bytes);
      if (size < 1 || offset + size > p.MAX_PAYLOAD - p.config.size) {
        throw new RequestRefused(`${size} bytes of the config space at ${offset}`);
      }
      // Bytes behind the config space are zero: cloud-hypervisor ends when this request fails.
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
      throw new RequestRefused("the config space is read-only");
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
    request: 39,
    name: "SET_STATUS",
    size: 8,
    needs: "STATUS",
    run(session, message) {
      const status = wordIn(message);
      if (status > 0xffn) throw new RequestRefused(`a status of 0x${status.toString(16)}`);
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

/** Requests that are never served. `answers`: the front-end waits for an answer. */
const unsupported: readonly MessageRow[] = [
  { request: 19, name: "SEND_RARP", needs: "RARP" },
  { request: 20, name: "NET_SET_MTU", needs: "MTU" },
  { request: 22, name: "IOTLB_MSG" },
  { request: 23, name: "SET_VRING_ENDIAN", needs: "CROSS_ENDIAN" },
  { request: 26, name: "CREATE_CRYPTO_SESSION", needs: "CRYPTO_SESSION", answers: true },
  { request: 27, name: "CLOSE_CRYPTO_SESSION", needs: "CRYPTO_SESSION" },
  { request: 28, name: "POSTCOPY_ADVISE", needs: "PAGEFAULT", answers: true },
  { request: 29, name: "POSTCOPY_LISTEN", needs: "PAGEFAULT" },
  { request: 30, name: "POSTCOPY_END", needs: "PAGEFAULT", answers: true },
  { request: 33, name: "GPU_SET_SOCKET" },
  { request: 35, name: "VRING_KICK", needs: "INBAND_NOTIFICATIONS" },
  { request: 41, name: "GET_SHARED_OBJECT", needs: "SHARED_OBJECT", answers: true },
  {
    request: 42,
    name: "SET_DEVICE_STATE_FD",
    needs: "DEVICE_STATE",
    answers: true,
    refusal: failure,
  },
  {
    request: 43,
    name: "CHECK_DEVICE_STATE",
    needs: "DEVICE_STATE",
    answers: true,
    refusal: failure,
  },
];

const rows = new Map(
  [
    ...deviceMessages,
    ...memoryMessages,
    ...sharedMemoryMessages,
    ...ringMessages,
    ...unsupported,
  ].map((row) => [row.request, row]),
);

/** All rows. */
export const messageRows: readonly MessageRow[] = [...rows.values()];

/** What decides which protocol features a device has. */
export type DeviceTraits = Pick<VirtioDevice, "sharedMemoryBytes" | "answerLimitMs">;

const hasRegion = (device: DeviceTraits) => device.sharedMemoryBytes !== undefined;

/** Features that only some devices offer. */
const offeredWhen: Partial<Record<ProtocolFeature, (device: DeviceTraits) => boolean>> = {
  BACKEND_REQ: hasRegion,
  BACKEND_SEND_FD: hasRegion,
  SHMEM: hasRegion,
  // Chains that an earlier process left are answered late.
  INFLIGHT_SHMFD: (device) => device.answerLimitMs === undefined,
};

/** Features without a request of their own. */
const always: readonly ProtocolFeature[] = ["REPLY_ACK", "BACKEND_SEND_FD"];

/**
 * The protocol features that a device offers, as one word: those of requests that are served, and those without a request. A
 * row with `run` and `needs` is offered without further edits.
 */
export function offeredProtocolFeatures(device: DeviceTraits): bigint {
  const served = messageRows.flatMap(({ run, needs }) => (run && needs ? [needs] : []));
  return [...always, ...served]
    .filter((name) => offeredWhen[name]?.(device) ?? true)
    .reduce((all, name) => all | protocolFeatures[name], 0n);
}

/** The row of a request. An unknown number gets a row without `run`, which is refused. */
export function messageRow(request: number): MessageRow {
  return rows.get(request) ?? { request, name: `request ${request}` };
}

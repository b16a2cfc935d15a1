// Payloads of vhost-user messages: vhost-user, "Message format". Host byte order, as the protocol has it.
import { n64, struct, u8, u16, u32, u64 } from "../../ffi/struct.ts";

export const header = struct("vhost-user header", 12, {
  request: u32(0),
  flags: u32(4),
  size: u32(8),
});
export const VERSION = 1;
export const VERSION_MASK = 3;
export const FLAG_REPLY = 4;
export const FLAG_NEED_REPLY = 8;
/** Flags of every answer: UML compares all bits. */
export const ANSWER_FLAGS = VERSION | FLAG_REPLY;
/** The longest payload we accept. A larger size means that the framing of the stream is lost. */
export const MAX_PAYLOAD = 4096;

export const word = struct("u64", 8, { value: u64(0) });
export const vringState = struct("vring state", 8, { index: u32(0), num: u32(4) });
export const vringAddr = struct("vring address", 40, {
  index: u32(0),
  flags: u32(4),
  descriptors: u64(8),
  used: u64(16),
  available: u64(24),
  log: u64(32),
});
export const regions = struct("memory regions", 8, { count: u32(0) });
export const region = struct("memory region", 32, {
  guest: u64(0),
  size: u64(8),
  user: u64(16),
  offset: u64(24),
});
/** ADD_MEM_REG and REM_MEM_REG: 8 bytes of padding, then a region. */
export const singleRegion = struct("single memory region", 40, {
  guest: u64(8),
  size: u64(16),
  user: u64(24),
  offset: u64(32),
});
export const config = struct("config space", 12, { offset: u32(0), size: u32(4), flags: u32(8) });
/** Some front-ends send these 20 bytes, without the padding at the end. */
export const inflight = struct("inflight", 20, {
  mmap_size: n64(0),
  mmap_offset: n64(8),
  num_queues: u16(16),
  queue_size: u16(18),
});
export const INFLIGHT_PADDED = 24;
/** SET_VRING_KICK, CALL and ERR: the low byte is the number of the ring, bit 8 means that no descriptor is sent. */
export const RING_MASK = 0xffn;
export const NO_DESCRIPTOR = 0x100n;

/** GET_SHMEM_CONFIG: how many regions there are, and the size of each of 256. */
export const shmemConfig = struct("shared memory regions", 2056, { count: u32(0), size: n64(8) });
/** SHMEM_MAP and SHMEM_UNMAP of the back-end. */
export const shmemRange = struct("shared memory range", 40, {
  region: u8(0),
  fd_offset: n64(8),
  offset: n64(16),
  length: n64(24),
  flags: n64(32),
});
export const SHMEM_MAP = 9;
export const SHMEM_UNMAP = 10;
export const SHMEM_WRITABLE = 1;

// Memory of a test as a buffer with frames: without a descriptor, not announced to any device.
import { addressOf } from "../../ffi/libc.ts";
import type { Memory } from "../../ffi/mapping.ts";
import type { FrameBuffer } from "../../src/frame/memory.ts";

/** `changed` returns whether the memory was given to another stream. The bytes stay while the caller keeps them. */
export function plainBuffer(
  memory: Memory | Uint8Array<ArrayBuffer>,
  changed?: () => boolean,
): FrameBuffer {
  const mapping =
    memory instanceof Uint8Array
      ? { bytes: memory, length: memory.length, address: addressOf(memory) }
      : memory;
  return {
    fd: undefined,
    dmaBuf: false,
    mapping,
    changed,
    begin: () => undefined,
    end: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
}

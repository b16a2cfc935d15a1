// A dry run of the receiver, before it listens: the runtime compiles a function when it is first called, and the first frame of a
// cold receiver would wait for that (6 to 14 ms, over 200 ms in a slow guest). The C sender_zc takes its buffer back after 200 ms,
// and is one acknowledgement late from then on.
import { sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { finishSending, send, socketPair } from "../../../ffi/socket.ts";
import { fourcc } from "../../format/formats.ts";
import { StampChecker, StampedBuffer } from "../../format/stamp.ts";
import { memfdAllocator } from "../../frame/memory.ts";
import type { Importer } from "../../frame/sharing.ts";
import type { Loop } from "../../loop.ts";
import { FRAME_MAGIC, makeHello } from "../hello.ts";
import { isSameHost } from "../socket/same-host.ts";
import { borrowFrames } from "./borrow.ts";
import { makeHandle, zcFrame } from "./messages.ts";
import { openConsumer } from "./view-target.ts";

const FRAMES = 32;
const BUFFERS = 2;
const SIZE = 4096;
const picture = { width: 64, height: 64, pixelformat: fourcc("GREY"), sizeimage: SIZE };

/** Receives a stream of FRAMES small frames from itself. `importer` takes descriptors; `verify`: stamps are checked. */
export async function warmUp(
  loop: Loop,
  importer: Importer,
  verify: boolean,
  signal: AbortSignal,
): Promise<void> {
  const [near, far] = socketPair();
  using _near = near;
  using socket = far;
  using owned = new DisposableStack();
  const put = (bytes: Uint8Array<ArrayBuffer>) => send(near, addressOf(bytes), bytes.length);
  put(makeHello(picture, BUFFERS).$bytes);
  const stamps: StampedBuffer[] = [];
  for (let i = 0; i < BUFFERS; i++) {
    const { fd, mapping } = owned.use(memfdAllocator.allocate(SIZE));
    const { $bytes } = makeHandle({ kind: "descriptor", id: BigInt(i + 1), length: SIZE });
    if (fd !== undefined) sendWithDescriptors(near, addressOf($bytes), $bytes.length, [fd.number]);
    stamps.push(new StampedBuffer(mapping.bytes));
  }
  const message = zcFrame.alloc();
  message.magic = FRAME_MAGIC;
  message.bytesused = SIZE;
  let sequence = 0;
  /** One frame after the other, as the sender does that waits for acknowledgements. */
  const sendNext = () => {
    const index = sequence % BUFFERS;
    stamps[index]?.write(sequence);
    message.handle_low = index + 1;
    message.sequence = sequence;
    put(message.$bytes);
    sequence += 1;
    if (sequence === FRAMES) finishSending(near);
  };
  sendNext();
  isSameHost(socket);
  await borrowFrames({
    loop,
    socket,
    signal,
    maxFrame: SIZE,
    stallMs: 1000,
    importers: [importer],
    openView: openConsumer(verify ? { checker: new StampChecker() } : {}),
    started: () => true,
    taken: () => {
      if (sequence < FRAMES) sendNext();
      return true;
    },
  });
}

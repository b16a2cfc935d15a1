// A sender that leaves while its frame waits for a full pipe: the next sender is served, and the pipe carries whole frames.
import { expect, test } from "bun:test";
import { sendWithDescriptors } from "../../../ffi/descriptors.ts";
import { Fd, O_NONBLOCK, O_RDWR, readAt } from "../../../ffi/fd.ts";
import { addressOf } from "../../../ffi/libc.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { socketPair } from "../../../ffi/socket.ts";
import { fourcc } from "../../../src/format/formats.ts";
import type { Loop } from "../../../src/loop.ts";
import { openOutput } from "../../../src/output/file.ts";
import { importDescriptors } from "../../../src/share/fd.ts";
import { FRAME_MAGIC, makeHello } from "../../../src/stream/hello.ts";
import { borrowFrames } from "../../../src/stream/zero-copy/borrow.ts";
import { makeHandle, zcAck, zcFrame } from "../../../src/stream/zero-copy/messages.ts";
import { openConsumer } from "../../../src/stream/zero-copy/view-target.ts";
import { onLoop } from "../../support/loop.ts";
import { makePipes } from "../../support/pipe.ts";
import { leftBehind, nothing } from "../../support/resources.ts";
import { never, put, takeAll } from "../../support/streams.ts";
import { TempDir } from "../../support/tool.ts";

const SIZE = 200_000; // more than a pipe holds
const NAME = "full-pipe";
/** Frames whose acknowledgements fill a socket that nobody reads. */
const EMPTY_FRAMES = 280;
const picture = { width: 64, height: 48, pixelformat: fourcc("MJPG"), sizeimage: SIZE };

/** Sends a stream whose buffer is filled with `value`: empty frames, then a full one. Returns the sender's memory. */
function speak(socket: Fd, value: number, empty: number): Fd {
  const memory = Fd.memory(NAME, SIZE);
  using mapping = new Mapping(memory.number, SIZE, NAME);
  mapping.bytes.fill(value);
  put(socket, makeHello(picture, 1).$bytes);
  const handle = makeHandle({ kind: "descriptor", id: 1n, length: SIZE }).$bytes;
  sendWithDescriptors(socket, addressOf(handle), handle.length, [memory.number]);
  const frames = Array.from({ length: empty + 1 }, (_, i) => {
    const frame = zcFrame.alloc();
    frame.magic = FRAME_MAGIC;
    frame.handle_low = 1;
    frame.sequence = i;
    frame.bytesused = i < empty ? 0 : SIZE;
    return frame.$bytes;
  });
  put(socket, new Uint8Array(Buffer.concat(frames)));
  return memory;
}

test("a sender that closes with acknowledgements unread while the pipe is full costs only its own frame", async () => {
  using temp = new TempDir();
  const [path = ""] = await makePipes(temp.path, 1);
  const left = await leftBehind(NAME, () =>
    onLoop(async (loop: Loop, signal) => {
      using reader = Fd.open(path, O_RDWR | O_NONBLOCK);
      using output = openOutput(loop, path);
      let taken = 0;
      const receive = async (socket: Fd) => {
        using _socket = socket;
        return await borrowFrames({
          ...{ loop, socket, signal: never, maxFrame: 1 << 20, stallMs: 2000 },
          importers: [importDescriptors()],
          openView: openConsumer({ output }),
          started: () => undefined,
          taken: () => {
            taken += 1;
            return true;
          },
        });
      };
      for (const value of [1, 2]) {
        taken = 0;
        const [near, far] = socketPair();
        using memory = speak(near, value, EMPTY_FRAMES);
        const ended = receive(far).then(
          () => "closed",
          () => "gone",
        );
        while (taken < EMPTY_FRAMES && !signal.aborted) await loop.sleep(1, signal);
        await loop.sleep(50, signal); // the full frame follows at once
        near[Symbol.dispose]();
        expect(await ended).toBe("gone");
        expect(memory.closed).toBe(false);
      }
      const [near, far] = socketPair();
      using _memory = speak(near, 3, 0);
      const ended = receive(far);
      const got: Uint8Array[] = [];
      const bytes = new Uint8Array(new ArrayBuffer(1 << 16));
      for (let total = 0; total < 2 * SIZE && !signal.aborted; ) {
        const r = readAt(reader.number, addressOf(bytes), bytes.length);
        if (r > 0) got.push(bytes.slice(0, r));
        total += Math.max(0, r);
        await loop.sleep(1, signal);
      }
      let acknowledged = 0;
      while (acknowledged < zcAck.size && !signal.aborted) {
        acknowledged += takeAll(near).length;
        await loop.sleep(1, signal);
      }
      expect(acknowledged).toBe(zcAck.size);
      near[Symbol.dispose]();
      expect(await ended).toBe("closed");
      const all = Buffer.concat(got);
      expect(all.length).toBe(2 * SIZE);
      expect(all.subarray(0, SIZE).every((byte) => byte === 1)).toBe(true);
      expect(all.subarray(SIZE).every((byte) => byte === 3)).toBe(true);
    }),
  );
  expect(left).toEqual(nothing);
});

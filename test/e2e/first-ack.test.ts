// The first acknowledgement of a receiver_zc that was just started. The peer is a script: it sends hello, handles and the first
// frame in one go, as the C sender_zc does, and waits.
import { expect, test } from "bun:test";
import { sendWithDescriptors } from "../../ffi/descriptors.ts";
import { Fd } from "../../ffi/fd.ts";
import { addressOf } from "../../ffi/libc.ts";
import { unixAddress } from "../../ffi/sockaddr.ts";
import { receive, send, startConnect } from "../../ffi/socket.ts";
import { fourcc } from "../../src/format/formats.ts";
import { Loop } from "../../src/loop.ts";
import { importDescriptors } from "../../src/share/fd.ts";
import { FRAME_MAGIC, makeHello } from "../../src/stream/hello.ts";
import { makeHandle, zcFrame } from "../../src/stream/zero-copy/messages.ts";
import { warmUp } from "../../src/stream/zero-copy/warm-up.ts";
import { oneInTime } from "../support/in-time.ts";
import { waitedForProcessorMs } from "../support/processes.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { never } from "../support/streams.ts";
import { TempDir, Tool } from "../support/tool.ts";
import { Xvfb } from "../support/xvfb.ts";

const picture = { width: 1920, height: 1080, pixelformat: fourcc("YUYV"), sizeimage: 4_147_200 };

/** The time to the first acknowledgement, without the time that the receiver and this program waited for a processor. */
async function firstAckMs(tool: string, env: Record<string, string> = {}): Promise<number> {
  using temp = new TempDir();
  const path = temp.file("s");
  await using receiver = await Tool.start(tool, ["-l", `unix:${path}`], { env });
  await receiver.says("listening on");
  await Bun.sleep(100);
  using owned = new DisposableStack();
  const memories = [1, 2, 3, 4].map(() => owned.use(Fd.memory("lent", picture.sizeimage)));
  const socket = owned.use(startConnect(unixAddress(path)));
  const { $bytes: hello } = makeHello(picture, memories.length);
  send(socket, addressOf(hello), hello.length);
  for (const [i, { number }] of memories.entries()) {
    const { $bytes } = makeHandle({
      kind: "descriptor",
      id: BigInt(i + 1),
      length: picture.sizeimage,
    });
    const sent = sendWithDescriptors(socket, addressOf($bytes), $bytes.length, [number]);
    expect(sent).toBe($bytes.length);
  }
  const frame = zcFrame.alloc();
  Object.assign(frame, { magic: FRAME_MAGIC, bytesused: picture.sizeimage, handle_low: 1 });
  const ack = new Uint8Array(new ArrayBuffer(24));
  const waited = () => waitedForProcessorMs(receiver.pid) + waitedForProcessorMs(process.pid);
  const waitedMs = waited();
  const fromMs = performance.now();
  send(socket, addressOf(frame.$bytes), frame.$bytes.length);
  while (receive(socket, addressOf(ack), ack.length) <= 0) {
    if (performance.now() - fromMs > 5000) throw new Error("no acknowledgement");
  }
  return performance.now() - fromMs - (waited() - waitedMs);
}

test("a receiver_zc that was just started acknowledges its first frame of 1920x1080 within 3 ms", async () => {
  await oneInTime(3, () => firstAckMs("receiver_zc"));
});

test("a receiver_zc_sdl that was just started acknowledges it within 40 ms: its window was made before it listened", async () => {
  await using screen = await Xvfb.start();
  const env = { DISPLAY: screen.display, SDL_VIDEODRIVER: "x11" };
  await oneInTime(40, () => firstAckMs("receiver_zc_sdl", env));
});

test("the dry run leaves no descriptor and no mapping, and ends when it is stopped", async () => {
  const left = await leftBehind("framepass", async () => {
    for (const verify of [false, true]) {
      using loop = new Loop();
      await loop.run(warmUp(loop, importDescriptors(), verify, never));
    }
    using loop = new Loop();
    await loop.run(warmUp(loop, importDescriptors(), false, AbortSignal.abort()));
  });
  expect(left).toEqual(nothing);
});

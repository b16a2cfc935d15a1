// What a stream opens besides its buffers. Frames through a consumer are in the tests of both flows.
import { expect, test } from "bun:test";
import { fourcc } from "../../src/format/formats.ts";
import { openOutput } from "../../src/output/file.ts";
import { Consumer } from "../../src/stream/consumer.ts";
import { onLoop } from "../support/loop.ts";
import { TempDir } from "../support/tool.ts";

const waiting = { ready: () => undefined, failed: () => undefined, returned: () => undefined };
const stream = (width: number) => ({
  width,
  height: 16,
  pixelformat: fourcc("GREY"),
  sizeimage: width * 16,
  bufferCount: 2,
});

/** Opens a viewer that counts itself, and the count. */
function counted() {
  const open = { count: 0 };
  const openViewer = () => {
    open.count += 1;
    return {
      show: () => undefined,
      [Symbol.dispose]: () => {
        open.count -= 1;
      },
    };
  };
  return { open, openViewer };
}

test("a viewer lives as long as its stream", () => {
  const { open, openViewer } = counted();
  {
    using consumer = new Consumer(stream(16), { openViewer }, waiting);
    expect(open.count).toBe(1);
    expect(consumer.reads).toBe(true);
  }
  expect(open.count).toBe(0);
});

test("a stream that the output refuses leaves no viewer open", async () => {
  using temp = new TempDir();
  await onLoop(async (loop) => {
    using output = openOutput(loop, temp.file("frames"));
    const { open, openViewer } = counted();
    const short = { ...stream(32), sizeimage: 100 };
    expect(() => new Consumer(short, { openViewer, output }, waiting)).toThrow(
      "hello: 100 bytes are no 32x16 GREY picture: it has 512,",
    );
    expect(open.count).toBe(0);
  });
});

/** A buffer that keeps the order of the calls on it. */
function watchedBuffer() {
  const calls: string[] = [];
  const bytes = new Uint8Array(new ArrayBuffer(256));
  const buffer = {
    fd: undefined,
    dmaBuf: false,
    mapping: { address: 0, length: bytes.length, bytes },
    begin: () => calls.push("begin"),
    end: () => calls.push("end"),
    [Symbol.dispose]: () => undefined,
  };
  return { calls, buffer };
}

const frame = { bytesused: 256, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };

test("CPU access is announced around reading a frame, and not at all where nothing reads it", () => {
  const { calls, buffer } = watchedBuffer();
  const openViewer = () => ({
    show: () => calls.push("show"),
    [Symbol.dispose]: () => undefined,
  });
  using shown = new Consumer(stream(16), { openViewer }, waiting);
  shown.add(0, buffer);
  expect(shown.take(0, frame)).toBe("taken");
  expect(calls.splice(0)).toEqual(["begin", "show", "end"]);
  using unread = new Consumer(stream(16), {}, waiting);
  unread.add(0, buffer);
  expect(unread.take(0, frame)).toBe("taken");
  expect(calls).toEqual([]);
});

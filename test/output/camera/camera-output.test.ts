// A virtual camera on the fake of v4l2loopback and on the fake of another driver: what is in the node, and when.
import { expect, spyOn, test } from "bun:test";
import { errno } from "../../../ffi/errno.ts";
import { addressOf } from "../../../ffi/libc.ts";
import type { Memory } from "../../../ffi/mapping.ts";
import { JpegEncoder } from "../../../ffi/turbojpeg-encoder.ts";
import { OutputLost, UnavailableError } from "../../../src/errors.ts";
import { Canvas } from "../../../src/format/canvas.ts";
import { fourcc, type PixelFormat, pixelFormatNamed } from "../../../src/format/formats.ts";
import { type Picture, pictureBytes } from "../../../src/format/picture-layout.ts";
import type { FrameBuffer } from "../../../src/frame/memory.ts";
import type { StreamWriter, Taken } from "../../../src/frame/stream-output.ts";
import type { Loop } from "../../../src/loop.ts";
import { type CameraOptions, CameraOutput } from "../../../src/output/camera/camera-output.ts";
import { SILENT_MS, STANDBY_MS } from "../../../src/output/camera/camera-state.ts";
import type { OutputNode } from "../../../src/v4l2/output-device.ts";
import { quiet } from "../../support/camera-options.ts";
import { FakeLoopback } from "../../support/fake-loopback.ts";
import { FakeOutput } from "../../support/fake-output.ts";
import { fileOf } from "../../support/fake-output-file.ts";
import { onLoop } from "../../support/loop.ts";
import { plainBuffer } from "../../support/plain-buffer.ts";
import { leftBehind, nothing } from "../../support/resources.ts";

quiet();

const format = (name: string) => pixelFormatNamed(name) as PixelFormat;

function stream(width = 64, height = 48, name = "YUYV"): Picture {
  const sizeimage = pictureBytes(format(name), width, height);
  return { width, height, pixelformat: fourcc(name), sizeimage };
}

/** A frame whose bytes all have one value, or that has one colour. */
function memory(length: number, value = 7): Memory {
  const bytes = new Uint8Array(new ArrayBuffer(length)).fill(value);
  return { bytes, length, address: addressOf(bytes) };
}

function coloured(picture: Picture, name: string, rgb: readonly [number, number, number]): Memory {
  const made = memory(picture.sizeimage);
  const canvas = new Canvas(made.bytes, format(name), picture.width, picture.height);
  canvas.fill(0, 0, picture.width, picture.height, canvas.encode(rgb));
  return made;
}

const unasked = (error: unknown) => {
  throw error;
};
const options: CameraOptions = {
  format: undefined,
  size: undefined,
  standby: "card",
  maxFrame: 1 << 26,
  fromStart: false,
  where: () => "10.0.0.2:5000",
  lost: unasked,
};

/** A camera and the stream that it has. */
class Rig {
  readonly #camera: CameraOutput;
  #writer: StreamWriter | undefined;
  changes = 0;
  readonly failures: unknown[] = [];
  /** Buffers that were held and are free again. */
  readonly returned: number[] = [];
  constructor(camera: CameraOutput) {
    this.#camera = camera;
  }
  get frames(): number {
    return this.#camera.frames;
  }
  get leftOut(): number {
    return this.#camera.leftOut;
  }
  begin(picture: Picture): void {
    this.#writer = this.#camera.begin(picture, {
      ready: () => undefined,
      failed: (error) => this.failures.push(error),
      returned: (index) => this.returned.push(index),
      changed: () => {
        this.changes += 1;
      },
    });
  }
  write(frame: Memory, bytesused: number, changed?: () => boolean): Taken {
    return this.writeIn(0, plainBuffer(frame, changed), bytesused);
  }
  writeIn(index: number, buffer: FrameBuffer, bytesused: number): Taken {
    this.#writer?.add(index, buffer);
    const facts = { bytesused, flags: 0, sequence: 0, ts_sec: 0, ts_usec: 0 };
    return this.#writer?.write(index, facts) ?? "waits";
  }
  end(): void {
    this.#writer?.[Symbol.dispose]();
  }
}

/** Opens a camera on a loop of its own. */
function withCamera(
  open: () => OutputNode,
  given: Partial<CameraOptions>,
  task: (camera: Rig, loop: Loop, sleep: (ms: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  return onLoop(async (loop, signal) => {
    using camera = new CameraOutput(loop, open, { ...options, ...given });
    await task(new Rig(camera), loop, (ms) => loop.sleep(ms, signal));
  });
}

const write = (camera: Rig, frame: Memory, bytes = frame.length) => camera.write(frame, bytes);

test("frames in a format that programs take go into the node untouched", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    camera.begin(stream());
    for (const value of [1, 2, 3]) expect(write(camera, memory(6144, value))).toBe("taken");
    expect(device.format).toMatchObject({ width: 64, height: 48, pixelformat: fourcc("YUYV") });
    expect(device.pictures.map((picture) => [picture.length, picture[0]])).toEqual([
      [6144, 1],
      [6144, 2],
      [6144, 3],
    ]);
    expect(camera.frames).toBe(3);
  });
  expect(device.files.size).toBe(0);
});

test("a raw frame that is too short is left out, and one that no rows explain ends the stream", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    camera.begin({ ...stream(), sizeimage: 7000 });
    write(camera, memory(7000), 6143);
    write(camera, memory(7000), 6144);
    expect(() => write(camera, memory(7000), 6145)).toThrow("6145 bytes are no 64x48 YUYV picture");
    expect(device.pictures.map(({ length }) => length)).toEqual([6144]);
    expect([camera.frames, camera.leftOut]).toEqual([1, 1]);
  });
});

test("rows that are padded on the wire come into the node without padding", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    const stride = 160;
    camera.begin({ ...stream(), sizeimage: stride * 48 });
    const frame = memory(stride * 48, 0);
    for (let y = 0; y < 48; y++) frame.bytes.fill(y + 1, y * stride, y * stride + 128);
    write(camera, frame);
    const rows = Uint8Array.from({ length: 6144 }, (_, i) => Math.floor(i / 128) + 1);
    expect(device.last).toEqual(rows);
  });
});

test.each([64, 32])(
  "a frame that another stream overwrites while it is read is not shown, %d pixels wide",
  async (width) => {
    const device = new FakeLoopback();
    await withCamera(device.open, { size: { width, height: 48 } }, async (camera) => {
      camera.begin(stream());
      const frame = memory(6144, 1);
      expect(camera.write(frame, 6144, () => false)).toBe("taken");
      expect(camera.write(frame, 6144, () => true)).toBe("taken");
      expect([device.pictures.length, camera.frames, camera.changes]).toEqual([1, 1, 1]);
    });
  },
);

test("JPEG goes through with the length it has; an empty frame and one that is too large do not", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    camera.begin({ width: 64, height: 48, pixelformat: fourcc("MJPG"), sizeimage: 9000 });
    for (const bytes of [1234, 0, 10_000]) write(camera, memory(10_000), bytes);
    expect(device.pictures.map(({ length }) => length)).toEqual([1234]);
    expect(camera.leftOut).toBe(2);
  });
});

test.each(["GREY", "NM12"])("a stream of %s becomes YUYV, which programs take", async (name) => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    const picture = stream(64, 48, name);
    camera.begin(picture);
    write(camera, coloured(picture, name, [180, 180, 180]));
    expect(device.format?.pixelformat).toBe(fourcc("YUYV"));
    const canvas = new Canvas(device.last, format("YUYV"), 64, 48);
    expect(Math.abs(canvas.colourAt(5, 5)[1] - 180)).toBeLessThan(6);
  });
});

test("--camera-format and --camera-size: every stream is converted to them", async () => {
  const device = new FakeLoopback();
  const given = { format: "NV12", size: { width: 32, height: 32 } };
  await withCamera(device.open, given, async (camera) => {
    const picture = stream();
    camera.begin(picture);
    write(camera, coloured(picture, "YUYV", [10, 200, 10]));
    expect(device.format).toMatchObject({ width: 32, height: 32, pixelformat: fourcc("NV12") });
    const canvas = new Canvas(device.last, format("NV12"), 32, 32);
    expect(canvas.colourAt(16, 16)[1]).toBeGreaterThan(180);
    expect(Math.max(...canvas.colourAt(16, 1))).toBeLessThan(4);
  });
});

test("a camera from the start has a producer and a card before the first sender", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, { fromStart: true }, async (_camera, _loop, sleep) => {
    expect(device.format).toMatchObject({ width: 640, height: 480, pixelformat: fourcc("YUYV") });
    expect(device.pictures.length).toBe(1);
    await sleep(1100);
    expect(device.pictures.length).toBe(3);
    expect(device.writer).toBeDefined();
  });
});

test("a silent sender is replaced by the card after a second, and its next frame replaces the card at once", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera, _loop, sleep) => {
    camera.begin(stream());
    write(camera, memory(6144, 7));
    await sleep(1250);
    // Compared with the times of the pictures, because a busy machine wakes this test late.
    const [frame = 0, card = 0] = device.times;
    expect(card - frame).toBeGreaterThanOrEqual(SILENT_MS);
    const silent = performance.now() - frame - SILENT_MS;
    const cards = device.times.length - 1;
    expect(cards).toBeLessThanOrEqual(1 + Math.floor(silent / STANDBY_MS));
    expect(device.last[0]).not.toBe(7);
    write(camera, memory(6144, 8));
    expect(device.last[0]).toBe(8);
  });
});

test("when a sender has left, the card is there at once, and the node keeps its producer", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera, _loop, sleep) => {
    camera.begin(stream());
    write(camera, memory(6144, 7));
    const { writer } = device;
    camera.end();
    await sleep(150);
    expect(device.pictures.length).toBe(2);
    camera.begin(stream());
    write(camera, memory(6144, 9));
    expect([device.last[0], device.writer === writer]).toEqual([9, true]);
  });
});

test("--standby last: the last picture is shown again, byte for byte, also after the sender's memory is gone", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, { standby: "last" }, async (camera, _loop, sleep) => {
    camera.begin(stream());
    const frame = memory(6144, 7);
    write(camera, frame);
    camera.end();
    const endedMs = performance.now();
    frame.bytes.fill(0);
    await sleep(900);
    const again = device.pictures.slice(1);
    expect(again.length).toBeGreaterThanOrEqual(2);
    const away = performance.now() - endedMs; // a busy machine wakes this test late
    expect(again.length).toBeLessThanOrEqual(1 + Math.floor(away / STANDBY_MS));
    for (const picture of again) expect(picture).toEqual(new Uint8Array(6144).fill(7));
  });
});

test("--standby last without a picture yet shows the card", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, { standby: "last", fromStart: true }, async () => {
    expect(device.last.length).toBe(614_400);
  });
});

test("a new size without a reader: the node takes it", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, { fromStart: true }, async (camera) => {
    camera.begin(stream(128, 96));
    write(camera, memory(24_576, 5));
    expect(device.format).toMatchObject({ width: 128, height: 96 });
    expect([device.last.length, device.last[0]]).toEqual([24_576, 5]);
    expect(device.files.size).toBe(1);
  });
});

test("a new size under a reader is fitted into the one it holds, until the reader has left", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera, _loop, sleep) => {
    camera.begin(stream());
    write(camera, memory(6144, 1));
    device.setReaders(1);
    await sleep(150);
    camera.end();
    const large = stream(128, 72);
    camera.begin(large);
    const frame = coloured(large, "YUYV", [10, 200, 10]);
    write(camera, frame);
    expect(device.format).toMatchObject({ width: 64, height: 48 });
    const canvas = new Canvas(device.last, format("YUYV"), 64, 48);
    expect(canvas.colourAt(32, 24)[1]).toBeGreaterThan(180);
    expect(Math.max(...canvas.colourAt(32, 2))).toBeLessThan(4);
    device.setReaders(0);
    await sleep(150);
    expect(device.format).toMatchObject({ width: 128, height: 72 });
    write(camera, frame);
    expect(device.last).toEqual(frame.bytes);
  });
});

test("S_FMT that succeeds with the old format: frames are fitted into it", async () => {
  const device = new FakeLoopback();
  device.counts = false; // v4l2loopback before 0.13: nothing says that there is a reader
  device.format = { width: 32, height: 24, pixelformat: fourcc("YUYV"), sizeimage: 1536 };
  device.readers = 1;
  await withCamera(device.open, {}, async (camera) => {
    camera.begin(stream());
    write(camera, memory(6144, 1));
    expect(device.pictures.map(({ length }) => length)).toEqual([1536]);
  });
});

test("a stream that cannot be converted is refused by name, and the camera goes on", async () => {
  const device = new FakeLoopback();
  device.format = { width: 32, height: 24, pixelformat: fourcc("YUYV"), sizeimage: 1536 };
  device.readers = 1;
  await withCamera(device.open, {}, async (camera) => {
    const h264 = { width: 64, height: 48, pixelformat: fourcc("H264"), sizeimage: 9000 };
    expect(() => camera.begin(h264)).toThrow("hello: 64x48 H264 cannot be converted");
    camera.begin(stream());
    write(camera, memory(6144, 1));
    expect(device.pictures.length).toBe(1);
  });
});

test("a node that keeps a format that nothing can be made of: another stream is refused by name", async () => {
  const device = new FakeLoopback();
  const pixelformat = fourcc("H264");
  device.format = { width: 64, height: 48, pixelformat, sizeimage: 9000 };
  device.readers = 1;
  await withCamera(device.open, {}, async (camera) => {
    expect(() => camera.begin(stream())).toThrow(
      "hello: 64x48 YUYV cannot be converted to 64x48 H264, which the camera has",
    );
    camera.begin({ width: 64, height: 48, pixelformat, sizeimage: 9000 });
    write(camera, memory(500, 1));
    expect(device.pictures.map(({ length }) => length)).toEqual([500]);
  });
});

test("a stream that is refused leaves no JPEG encoder behind", async () => {
  const device = new FakeLoopback();
  device.format = { width: 32, height: 24, pixelformat: fourcc("MJPG"), sizeimage: 1536 };
  device.readers = 1;
  using closed = spyOn(JpegEncoder.prototype, Symbol.dispose);
  await withCamera(device.open, {}, async (camera) => {
    const h264 = { width: 64, height: 48, pixelformat: fourcc("H264"), sizeimage: 9000 };
    expect(() => camera.begin(h264)).toThrow("cannot be converted");
    expect(closed).toHaveBeenCalledTimes(1);
  });
});

test("a JPEG of ours that is larger than the node takes is left out", async () => {
  const device = new FakeLoopback();
  device.format = { width: 64, height: 48, pixelformat: fourcc("MJPG"), sizeimage: 100 };
  device.readers = 1;
  await withCamera(device.open, {}, async (camera) => {
    camera.begin(stream());
    write(camera, memory(6144, 7));
    expect([device.pictures.length, camera.frames, camera.leftOut]).toEqual([0, 0, 1]);
  });
});

test("a node that has a format after its last reader to which nothing converts ends the stream, not the camera", async () => {
  const device = new FakeLoopback();
  device.format = { width: 64, height: 48, pixelformat: fourcc("YUYV"), sizeimage: 6144 };
  device.readers = 1;
  const lost: unknown[] = [];
  const given = { lost: (error: unknown) => lost.push(error) };
  await withCamera(device.open, given, async (camera, _loop, sleep) => {
    camera.begin(stream(128, 96));
    write(camera, memory(24_576, 1));
    device.format = { width: 64, height: 48, pixelformat: fourcc("H264"), sizeimage: 6144 };
    for (const file of device.files) file.raise(0); // and another reader comes before S_FMT
    await sleep(250);
    expect(camera.failures.map(String)).toEqual([
      "ProtocolError: hello: 128x96 YUYV cannot be converted to 64x48 H264, which the camera has",
    ]);
    expect(lost).toEqual([]);
    camera.end();
    device.format = undefined;
    device.readers = 0;
    for (const file of device.files) file.raise(0);
    await sleep(150);
    camera.begin(stream());
    expect(write(camera, memory(6144, 5))).toBe("taken");
    expect(device.last[0]).toBe(5);
  });
});

test("a compressed stream that would be larger than --max-frame when decoded is refused before the node is asked", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera) => {
    const huge = { width: 16_384, height: 16_384, pixelformat: fourcc("MJPG"), sizeimage: 1000 };
    expect(() => camera.begin(huge)).toThrow(
      "hello: 16384x16384 MJPG is 536870912 bytes decoded, must be 1 to 67108864 (--max-frame)",
    );
    expect(device.format).toBeUndefined();
    camera.begin({ ...huge, width: 7680, height: 4320 });
    expect(device.format).toMatchObject({ width: 7680, height: 4320 });
  });
});

test("a callback gets the number of readers when it changes, and the news that the camera is gone", async () => {
  const device = new FakeLoopback();
  const told: unknown[] = [];
  const readers = (path: string, count: number | undefined) => told.push([path, count]);
  await withCamera(device.open, { readers }, async (_camera, _loop, sleep) => {
    device.setReaders(1);
    await sleep(250);
  });
  expect(told).toEqual([0, 1, undefined].map((count) => ["/dev/video10", count]));
});

test("the measured rate is set once", async () => {
  const device = new FakeLoopback();
  await withCamera(device.open, {}, async (camera, _loop, sleep) => {
    camera.begin(stream());
    const frame = memory(6144, 1);
    const fromMs = performance.now();
    for (let i = 0; i < 24; i++) {
      write(camera, frame);
      await sleep(50);
    }
    const written = 24_000 / (performance.now() - fromMs); // 20, less on a busy machine
    expect((device.rate ?? 0) / written).toBeWithin(0.7, 1.3);
  });
});

test.each([
  ["a node that vanishes", "ENODEV", errno.ENODEV],
  ["a driver that fails", "EIO", errno.EIO],
])("%s: the frame throws, and a stand-by picture reports it", async (_, name, code) => {
  const device = new FakeLoopback();
  const lost: unknown[] = [];
  await withCamera(
    device.open,
    { lost: (error) => lost.push(error) },
    async (camera, _loop, sleep) => {
      camera.begin(stream());
      write(camera, memory(6144, 1));
      device.faults.set("write", code);
      expect(() => write(camera, memory(6144, 1))).toThrow(`write /dev/video10: ${name}`);
      camera.end();
      await sleep(150);
      expect(String(lost[0])).toContain(`write /dev/video10: ${name}`);
    },
  );
});

test("a node that another program writes to is refused at the start, with the reason", async () => {
  const device = new FakeLoopback();
  using other = device.open();
  device.writer = other;
  await onLoop(async (loop) => {
    expect(() => new CameraOutput(loop, device.open, options)).toThrow(UnavailableError);
  });
  expect(device.files.size).toBe(1);
});

test("a node that another program takes while it changes its size is lost, which is not the sender's fault", async () => {
  const device = new FakeLoopback();
  using other = device.open();
  let opens = 0;
  const open = () => {
    opens += 1;
    if (opens === 2) device.writer = other;
    return device.open();
  };
  await withCamera(open, { fromStart: true }, async (camera) => {
    expect(() => camera.begin(stream())).toThrow(OutputLost);
  });
});

test("a driver with a full queue: frames are left out, none is shown twice, none blocks", async () => {
  const left = await leftBehind("fake-output", async () => {
    using node = new FakeOutput([8192], false);
    await withCamera(
      () => fileOf(node),
      {},
      async (camera) => {
        camera.begin(stream());
        node.holds = 99;
        const took = [1, 2, 3, 4, 5, 6].map((value) => write(camera, memory(6144, value)));
        expect(took).toEqual(Array(6).fill("taken"));
        expect(node.pictures.map((picture) => picture[0])).toEqual([1, 2, 3, 4]);
        expect([camera.frames, camera.leftOut]).toEqual([4, 2]);
      },
    );
    expect([node.streaming, node.buffers]).toEqual([false, 0]);
  });
  expect(left).toEqual(nothing);
});

test("an output with a size of its own: frames are fitted into it, and asking again stops there", async () => {
  using node = new FakeOutput([8192], false);
  node.answer = (answer) => {
    answer["fmt.pix.width"] = 64;
    answer["fmt.pix.height"] = 48;
    answer["fmt.pix.sizeimage"] = 6144;
  };
  const asked: string[] = [];
  const open = () => {
    asked.push("open");
    return fileOf(node);
  };
  await withCamera(open, {}, async (camera, _loop, sleep) => {
    camera.begin(stream(128, 96));
    write(camera, memory(24_576, 1));
    expect(node.pictures.map(({ length }) => length)).toEqual([6144]);
    await sleep(300);
    expect(asked).toEqual(["open"]);
  });
});

// Our receiver in `bun run bench camera`: the stream code as the tools run it, with a camera on a node that takes pictures as
// v4l2loopback does. usage: bun camera-side.ts PORT FRAMES
import { copyMemory } from "../../ffi/copy.ts";
import { errno } from "../../ffi/errno.ts";
import { addressOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import { Loop } from "../../src/loop.ts";
import { CameraOutput } from "../../src/output/camera/camera-output.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { type CopyReceiveOptions, receiveFrames } from "../../src/stream/copy/receive.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { parseAddress } from "../../src/stream/socket/address.ts";
import type { OutputNode } from "../../src/v4l2/output-device.ts";
import { median } from "./bench.ts";
import { Meter } from "./meter.ts";
import { serving } from "./streams.ts";

const [port = 0, frames = 0] = process.argv.slice(2).map(Number);
const BUFFERS = 8;
const signal = new AbortController().signal;
setUpLog("camera-side", "error");
using loop = new Loop();
const meter = new Meter(frames);
const milliseconds: number[] = [];

/** The same node as in camera-node.c: write() is one copy into the next of eight buffers. */
function openNode(): OutputNode {
  let buffers: Uint8Array<ArrayBuffer>[] = [];
  let addresses: number[] = [];
  let next = 0;
  return {
    path: "/dev/video-bench",
    fd: -1,
    map: () => {
      throw new Error("it has no buffers to map");
    },
    ioctl: (request, argument) => {
      if (request.name === v.VIDIOC_QUERYCAP.name) {
        new TextEncoder().encodeInto("v4l2 loopback", argument.$bytes);
        const capability = v.v4l2Capability.over(argument.$bytes);
        capability.capabilities = v.V4L2_CAP_VIDEO_OUTPUT | v.V4L2_CAP_READWRITE;
        return 0;
      }
      if (request.name !== v.VIDIOC_S_FMT.name) return -errno.ENOTTY;
      const format = v.v4l2Format.over(argument.$bytes);
      const size = format["fmt.pix.width"] * format["fmt.pix.height"] * 2;
      format["fmt.pix.bytesperline"] = format["fmt.pix.width"] * 2;
      format["fmt.pix.sizeimage"] = size;
      buffers = Array.from({ length: BUFFERS }, () => new Uint8Array(new ArrayBuffer(size)));
      addresses = buffers.map(addressOf);
      return 0;
    },
    write: (address, length) => {
      copyMemory(addresses[next++ % BUFFERS] ?? 0, address, length);
      return length;
    },
    [Symbol.dispose]: () => undefined,
  };
}

using camera = new CameraOutput(loop, openNode, {
  ...{ format: undefined, size: undefined, standby: "card", maxFrame: 1 << 26, fromStart: false },
  where: () => "",
  lost: (error) => {
    throw error;
  },
});

const openTarget: CopyReceiveOptions["openTarget"] = (stream, waiting) => {
  const target = new MemoryTarget(stream, { allocator: memfdAllocator, output: camera }, waiting);
  return {
    begin: (header) => target.begin(header),
    complete: (header) => {
      const receivedMs = performance.now();
      const taken = target.complete(header);
      if (milliseconds.length < 1000) milliseconds.push(performance.now() - receivedMs);
      meter.count();
      return taken;
    },
    [Symbol.dispose]: () => target[Symbol.dispose](),
  };
};

await loop.run(
  serveSenders(
    loop,
    {
      ...serving(parseAddress("address", "127.0.0.1", port)),
      receive: (run) => receiveFrames({ ...run, maxFrame: 2 ** 26, openTarget }),
    },
    signal,
  ),
);
if (camera.frames !== frames) throw new Error(`${camera.frames} of ${frames} frames were shown`);
meter.report({ latencyMs: median(milliseconds.slice(-500)) });

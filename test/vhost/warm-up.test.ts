// The dry run with which the process of a front-end warms up.
import { expect, test } from "bun:test";
import { log, logLevel, setUpLog } from "../../src/cli/log.ts";
import { Loop } from "../../src/loop.ts";
import type { MakeDevice } from "../../src/vhost/queues.ts";
import { type DryRun, dryRunMemory, warmUp } from "../../src/vhost/warm-up.ts";
import { dryCommands } from "../../src/video/dry-run.ts";
import type { Request } from "../../src/virtio/virtio-device.ts";
import { openDescriptors } from "../support/resources.ts";

const COUNT = 40;
/** Also a busy machine is done before. */
const LIMIT_MS = 20_000;
const never = () => new AbortController().signal;

/** The dry run of the video device, and the code of each answer. */
function observed(onRequest: (asked: number) => void = () => undefined): {
  dry: DryRun;
  codes: number[];
  asked: () => number;
} {
  const { makeDevice, ...commands } = dryCommands(dryRunMemory.address);
  const codes: number[] = [];
  let asked = 0;
  const watched: MakeDevice = () => {
    const device = makeDevice();
    const inner = device.request.bind(device);
    device.request = (queue, request) => {
      asked += 1;
      onRequest(asked);
      const answer = request.answer.bind(request);
      const seen: Request = {
        bytes: request.bytes,
        room: request.room,
        answer(bytes) {
          codes.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true));
          answer(bytes);
        },
      };
      inner(queue, seen);
    };
    return device;
  };
  return {
    dry: { ...commands, makeDevice: watched, count: COUNT, limitMs: LIMIT_MS },
    codes,
    asked: () => asked,
  };
}

test("every command of the dry run is answered with success, and pictures are made", async () => {
  using loop = new Loop();
  const { dry, codes, asked } = observed();
  await loop.run(warmUp(loop, dry, never()));
  const sent = dry.opening.length + (COUNT / dry.batches.length) * dry.batches.flat().length;
  expect(asked()).toBe(sent);
  expect(codes.length).toBe(sent);
  // 0x200: done; 0x202: a buffer is returned; 0x203: parameters.
  expect([...new Set(codes)].sort()).toEqual([0x200, 0x202, 0x203]);
});

test("a dry run leaves no descriptor open and logs nothing, also with --log-level debug", async () => {
  const level = logLevel();
  setUpLog("dry", "debug");
  using loop = new Loop();
  const { reporters } = log.options;
  const lines: unknown[] = [];
  log.setReporters([{ log: ({ args }) => lines.push(args) }]);
  try {
    await loop.run(warmUp(loop, observed().dry, never()));
    const before = openDescriptors();
    await loop.run(warmUp(loop, observed().dry, never()));
    expect(openDescriptors()).toBe(before);
    expect(lines).toEqual([]);
    expect(logLevel()).toBe("debug");
  } finally {
    log.setReporters(reporters);
    setUpLog("framepass", level);
  }
});

test("a dry run ends when a front-end is there, also before it has begun", async () => {
  using loop = new Loop();
  for (const after of [0, 10]) {
    const arrived = new AbortController();
    if (after === 0) arrived.abort();
    const { dry, codes } = observed((asked) => {
      if (asked === after) arrived.abort();
    });
    await loop.run(warmUp(loop, { ...dry, count: 1_000_000 }, arrived.signal));
    expect(codes.length).toBeLessThan(after + dry.batches.flat().length);
    const done = codes.length;
    await loop.run(loop.sleep(5, never()));
    expect(codes.length).toBe(done);
  }
});

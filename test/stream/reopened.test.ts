// A source that ends in mid-stream while several receivers are fed from it: it is closed once and opened once for all.
import { expect, test } from "bun:test";
import { openTestSource } from "../../src/capture/testsrc.ts";
import { setUpLog } from "../../src/cli/log.ts";
import { SourceEnded } from "../../src/errors.ts";
import { StampChecker } from "../../src/format/stamp.ts";
import { memfdAllocator } from "../../src/frame/memory.ts";
import type { Loop } from "../../src/loop.ts";
import { MemoryTarget } from "../../src/stream/copy/memory-target.ts";
import { receiveFrames } from "../../src/stream/copy/receive.ts";
import { sendFrames } from "../../src/stream/copy/send.ts";
import { feedReceivers } from "../../src/stream/feed.ts";
import { serveSenders } from "../../src/stream/serve.ts";
import { type Address, parseAddress } from "../../src/stream/socket/address.ts";
import { onLoop } from "../support/loop.ts";
import { leftBehind, nothing } from "../support/resources.ts";
import { TempDir } from "../support/tool.ts";

const quiet = { stats: 0, json: false };
const never = new AbortController().signal;
const wish = { width: 32, height: 16, format: "YUYV", fps: 200, buffers: 8 };
setUpLog("test", "error");

/** Receives `frames` right frames, over as many connections as it takes. */
async function receive(loop: Loop, address: Address, frames: number): Promise<number> {
  const checker = new StampChecker();
  await serveSenders(
    loop,
    {
      ...quiet,
      address,
      allowed: () => true,
      keep: true,
      stallMs: 2000,
      frames,
      receive: (run) =>
        receiveFrames({
          ...run,
          maxFrame: 1 << 20,
          openTarget: (info, waiting) =>
            new MemoryTarget(info, { allocator: memfdAllocator, checker }, waiting),
        }),
    },
    never,
  );
  return checker.verified;
}

test("a camera that comes back is closed once and opened once for all its receivers", async () => {
  using temp = new TempDir();
  const addresses = ["a", "b", "c"].map((name) =>
    parseAddress("--address", `unix:${temp.file(name)}`, undefined),
  );
  const opened: string[] = [];
  /** The test source; the first of them is unplugged after 10 frames. */
  const open = (owned: DisposableStack) => {
    const source = openTestSource("testsrc", wish);
    const number = opened.push("open");
    owned.defer(() => {
      opened[number - 1] = "closed";
      source[Symbol.dispose]();
    });
    const next = source.next.bind(source);
    let taken = 0;
    source.next = () => {
      if (number === 1 && taken === 10) throw new SourceEnded("testsrc: unplugged", true);
      const frame = next();
      if (frame !== undefined) taken += 1;
      return frame;
    };
    return { source };
  };
  const left = await leftBehind("framepass", () =>
    onLoop(async (loop) => {
      const receivers = addresses.map((address) => receive(loop, address, 40));
      const options = { ...quiet, connectTimeoutMs: 1000, stallMs: 0, reconnect: true, frames: 40 };
      const send = feedReceivers(
        loop,
        {
          ...options,
          addresses,
          open,
          send: ({ source }, run) => sendFrames({ ...run, source, latest: false }),
        },
        never,
      );
      const [end, ...verified] = await Promise.all([send, ...receivers]);
      expect(end).toBe("done");
      expect(verified).toEqual([40, 40, 40]);
    }),
  );
  expect(opened).toEqual(["closed", "closed"]);
  expect(left).toEqual(nothing);
});

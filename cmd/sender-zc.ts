// sender_zc: captures frames and lends them to a receiver, which reads them in the buffers of the camera.

import { captureFiles, captureOptions } from "../src/capture/capture-options.ts";
import { openSource } from "../src/capture/open.ts";
import { openPipeInput } from "../src/capture/pipe-input.ts";
import { inGroup } from "../src/cli/groups.ts";
import { notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import { DEFAULT_HEAP } from "../src/frame/memory.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { openShared, shareNames } from "../src/share/index.ts";
import { LAST_DOMAIN } from "../src/share/xen-domain.ts";
import { feedReceivers } from "../src/stream/feed.ts";
import { readSenderOptions, senderOptions } from "../src/stream/sender-options.ts";
import { addressOptions } from "../src/stream/stream-options.ts";
import { lendFrames } from "../src/stream/zero-copy/lend.ts";
import { lentFigures, lentText, noCounts } from "../src/stream/zero-copy/lend-counts.ts";
import { shareFiles, shareOptions } from "../src/stream/zero-copy/share-options.ts";
import { listFormats } from "./list-formats.ts";
import { toolRow } from "./tool-rows.ts";

export const senderZc = defineTool({
  ...toolRow("sender_zc"),
  examples: [
    {
      does: "lend a camera's frames to a receiver_zc on the same machine",
      line: "sender_zc -d /dev/video0 -a unix:/run/frames",
    },
    {
      does: "lend them to another guest of the host, through a shared region",
      line: "sender_zc -d /dev/video0 -a 10.0.0.2 -p 5000 -R /dev/dax0.0",
    },
    {
      does: "lend them to another Xen domain, number 5",
      line: "sender_zc -d /dev/video0 -a 10.0.0.2 -p 5000 -s xen-grant -D 5",
    },
  ],
  files: [...captureFiles, ...shareFiles],
  environment: notifyVariables,
  options: {
    ...captureOptions,
    ...addressOptions.connect,
    ...inGroup("sharing", {
      "ack-timeout": {
        short: "k",
        type: "integer",
        min: 0,
        max: 3_600_000,
        default: 200,
        value: "MS",
        help: "milliseconds after which a frame that was not returned is reported; 0 waits for ever",
      },
      "requeue-on-timeout": {
        type: "flag",
        help: "after --ack-timeout queue the buffer again, though the receiver may still read it",
      },
      domid: {
        short: "D",
        type: "integer",
        min: 0,
        max: LAST_DOMAIN,
        value: "ID",
        help: "Xen domain of the receiver; required with --share virtio-media and xen-grant",
      },
    }),
    ...shareOptions(shareNames),
    ...senderOptions,
  },
  async run(values, { loop, signal }) {
    if (values["list-formats"]) return await listFormats(values.device);
    const sending = readSenderOptions(values);
    const { addresses } = sending;
    const granting = values.share === "virtio-media" || values.share === "xen-grant";
    if (addresses.length > 1 && (granting || values.domid !== undefined)) {
      const share = granting ? values.share : "xen-grant or virtio-media";
      throw new UsageError(
        `--share ${share} (--domid) grants memory to one receiver: give --address once, or share by fd (unix:/path) or dax (--region)`,
      );
    }
    using pipe = await openPipeInput(loop, values.device, signal);
    const look = { tool: "sender_zc", pictures: false };
    using metrics = await openMetrics(loop, values.metrics, look, signal);
    if (signal.aborted) return "stopped";
    const counts = addresses.map(noCounts);
    const openShare = () =>
      openShared(values.share, {
        open: (memory, allocator) =>
          openSource(values.device, {
            ...values,
            pipe,
            memory,
            allocator,
            heap: DEFAULT_HEAP,
            queueAtStart: memory === "mmap", // a virtio-media driver exports buffers before they are queued
          }),
        buffers: values.buffers,
        domain: values.domid,
        region: values.region,
        local: addresses.every(({ kind }) => kind === "unix"),
      });
    return await feedReceivers(
      loop,
      {
        ...sending,
        metrics,
        open: (owned) => owned.use(openShare()),
        send: (shared, run, receiver) => {
          const ackTimeoutMs = values["ack-timeout"];
          const requeue = values["requeue-on-timeout"];
          const own = counts[receiver] ?? noCounts();
          return lendFrames({ ...run, shared, ackTimeoutMs, requeue, counts: own });
        },
        figuresOf: (receiver) => lentFigures(counts[receiver] ?? noCounts()),
        summary: (receiver) => {
          const own = counts[receiver] ?? noCounts();
          return { lines: [lentText(own, values["ack-timeout"])], fields: { ...own } };
        },
      },
      signal,
    );
  },
});

if (import.meta.main) await runMain(senderZc);

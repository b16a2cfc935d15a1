// receiver_zc: reads a sender's frames in the buffers of its camera, and returns them.

import { listenVariables, notifyVariables } from "../src/cli/service-variables.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UsageError } from "../src/errors.ts";
import type { Importer } from "../src/frame/sharing.ts";
import { openMetrics } from "../src/metrics/metrics.ts";
import { cameraFiles } from "../src/output/camera/camera-options.ts";
import { importDescriptors } from "../src/share/fd.ts";
import { openImporters, type ShareName, shareNames } from "../src/share/index.ts";
import {
  readReceiverOptions,
  receiverOptions,
  severalOptions,
} from "../src/stream/receiver-options.ts";
import { serveOneOrSeveral } from "../src/stream/serve-one-or-several.ts";
import type { Address } from "../src/stream/socket/address.ts";
import { borrowFrames } from "../src/stream/zero-copy/borrow.ts";
import { borrowOptions, shareFiles, shareOptions } from "../src/stream/zero-copy/share-options.ts";
import { openConsumer } from "../src/stream/zero-copy/view-target.ts";
import { warmUp } from "../src/stream/zero-copy/warm-up.ts";
import { openVideoDevice } from "../src/v4l2/device.ts";
import { findNode } from "../src/v4l2/find-node.ts";
import { toolRow } from "./tool-rows.ts";

/** Opens the importers of the sender's handles; `owned` owns them. Throws UnavailableError or UsageError. */
export function importersFor(
  { share, device, region }: { share: ShareName; device: string; region: string | undefined },
  address: Address,
  owned: DisposableStack,
): readonly Importer[] {
  const importers = openImporters(share, {
    openDevice: () => openVideoDevice(findNode(device, ["camera"])),
    region,
    local: address.kind === "unix",
  });
  for (const importer of importers) owned.use(importer);
  return importers;
}

/** The options that it has in common with receiver_zc_sdl. */
export const borrowerOptions = {
  ...receiverOptions,
  ...borrowOptions,
  ...shareOptions(shareNames),
};

export const receiverZc = defineTool({
  ...toolRow("receiver_zc"),
  examples: [
    {
      does: "read the frames of a sender_zc on the same machine, and check them",
      line: "receiver_zc -l unix:/run/frames --verify",
    },
    {
      does: "record the frames of another guest of the host, through a shared region",
      line: "receiver_zc -p 5000 -R /dev/dax0.0 -o film.y4m",
    },
    {
      does: "record the frames of another Xen domain",
      line: "receiver_zc -p 5000 -s xen-grant -o film.y4m",
    },
  ],
  files: [...shareFiles, ...cameraFiles],
  environment: [...listenVariables, ...notifyVariables],
  options: { ...borrowerOptions, ...severalOptions },
  async run(values, { loop, signal }) {
    if (values.region !== undefined && (values.senders ?? 1) > 1)
      throw new UsageError(
        "--region is for one sender, which writes in all of it: omit --senders, and start a receiver for each region",
      );
    using owned = new DisposableStack();
    const setup = readReceiverOptions(values, loop, owned);
    const look = { tool: "receiver_zc", pictures: true };
    const metrics = owned.use(await openMetrics(loop, values.metrics, look, signal));
    const importers = importersFor(values, setup.address, owned);
    const end = await serveOneOrSeveral(
      loop,
      setup,
      {
        metrics,
        prepare: async (stop) => {
          await warmUp(loop, importDescriptors(), values.verify, stop);
          await setup.serving.prepare(stop);
        },
        receive: (run, consumer) =>
          borrowFrames({
            ...run,
            maxFrame: values["max-frame"],
            importers,
            openView: openConsumer(consumer),
          }),
      },
      signal,
    );
    return end === "stopped" ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverZc);

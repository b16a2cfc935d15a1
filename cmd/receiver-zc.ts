// receiver_zc: reads a sender's frames where the sender's camera put them, and hands them back.
import { openVideoDevice } from "../src/capture/device.ts";
import { defineTool, runMain } from "../src/cli.ts";
import { UsageError } from "../src/errors.ts";
import { StampChecker } from "../src/format/stamp.ts";
import { type Output, openOutputWhenRead } from "../src/output/file.ts";
import { playCommand } from "../src/output/play.ts";
import { openImporters, shareNames } from "../src/share/index.ts";
import { allowList, parseAddress } from "../src/wire/address.ts";
import { borrowFrames } from "../src/wire/borrowing.ts";
import { addressOptions, statsOptions } from "../src/wire/options.ts";
import { serveSenders } from "../src/wire/receiver.ts";
import { ReadingView } from "../src/wire/view-target.ts";
import { borrowOptions, shareOptions } from "../src/wire/zc-options.ts";

export const receiverZc = defineTool({
  name: "receiver_zc",
  summary: "read a sender's frames where they are, into a file, a pipe or a check",
  options: {
    ...addressOptions.listen,
    ...borrowOptions,
    ...shareOptions(shareNames),
    output: {
      short: "o",
      type: "text",
      value: "FILE",
      help: "write frames there, - for stdout, YUV4MPEG2 for a name in .y4m",
    },
    verify: { type: "flag", help: "check the stamps of testsrc; fail at the first wrong frame" },
    ...statsOptions,
  },
  async run(values, { loop, signal }) {
    if (values.json && values.output === "-")
      throw new UsageError("--json and --output - both want stdout");
    const address = parseAddress("--listen", values.listen, values.port);
    if (values.allow.length > 0 && (address.kind === "unix" || address.kind === "vsock"))
      throw new UsageError(`--allow is for IP addresses, not for --listen ${values.listen}`);
    const allowed = allowList(values.allow);
    using owned = new DisposableStack();
    const importers = openImporters(values.share, {
      openDevice: () => openVideoDevice(values.device),
      region: values.region,
      local: address.kind === "unix",
    });
    for (const importer of importers) owned.use(importer);
    let output: Output | undefined;
    const checker = values.verify ? new StampChecker() : undefined;
    const end = await serveSenders(
      loop,
      {
        address,
        allowed,
        keep: values.keep,
        frames: values.frames,
        stats: values.stats,
        json: values.json,
        prepare: async () => {
          if (values.output === undefined) return;
          output = await openOutputWhenRead(loop, values.output, signal);
          owned.use(output);
        },
        receive: (on, socket, hooks, stop) =>
          borrowFrames(
            on,
            socket,
            {
              maxFrame: values["max-frame"],
              stallMs: 10_000,
              importers,
              openView: (stream, buffers, waiting) =>
                new ReadingView(stream, buffers, waiting, { output, checker }),
              ...hooks,
            },
            stop,
          ),
        summary: ({ fps }) => {
          output?.finish(fps);
          const lines: string[] = [];
          if (checker !== undefined) lines.push(`verified ${checker.verified} frames`);
          if (output?.picture !== undefined && output.frames > 0)
            lines.push(playCommand(output.name, output.picture, fps));
          return { lines, fields: checker === undefined ? {} : { verified: checker.verified } };
        },
      },
      signal,
    );
    return end === "stopped" ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverZc);

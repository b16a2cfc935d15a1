// receiver_zc_sdl: what receiver_zc does, with the pictures in a window. A frame is handed back as soon as it is in a
// texture: the screen's refresh holds no buffer of the camera's.
import { openVideoDevice } from "../src/capture/device.ts";
import { defineTool, runMain } from "../src/cli.ts";
import { Display } from "../src/display/display.ts";
import { displayOptions } from "../src/display/options.ts";
import { UsageError } from "../src/errors.ts";
import { StampChecker } from "../src/format/stamp.ts";
import { type Output, openOutputWhenRead } from "../src/output/file.ts";
import { openImporters } from "../src/share/index.ts";
import { allowList, parseAddress } from "../src/wire/address.ts";
import { borrowFrames } from "../src/wire/borrowing.ts";
import { serveSenders } from "../src/wire/receiver.ts";
import { type OpenView, ReadingView } from "../src/wire/view-target.ts";
import { receiverZc } from "./receiver-zc.ts";

export const receiverZcSdl = defineTool({
  name: "receiver_zc_sdl",
  summary: "show a sender's frames in a window, from where they are",
  options: { ...receiverZc.options, ...displayOptions },
  async run(values, { loop, signal }) {
    if (values.json && values.output === "-")
      throw new UsageError("--json and --output - both want stdout");
    const { keep, "max-frame": maxFrame } = values;
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
    const display = owned.use(new Display("receiver_zc_sdl", loop, values));
    const ending = AbortSignal.any([signal, display.closed]);
    let output: Output | undefined;
    const checker = values.verify ? new StampChecker() : undefined;
    const end = await serveSenders(
      loop,
      {
        address,
        allowed,
        keep,
        frames: values.frames,
        stats: values.stats,
        json: values.json,
        latency: display.latency,
        prepare: async () => {
          if (values.output === undefined) return;
          output = await openOutputWhenRead(loop, values.output, ending);
          owned.use(output);
        },
        listening: (name) => {
          if (keep) display.wait(["waiting for a sender", "", name]);
        },
        receive: (on, socket, { captureTime, ...hooks }, stop) => {
          const openView: OpenView = (stream, buffers, waiting) => {
            using made = new DisposableStack();
            const showing = made.use(display.show(stream, maxFrame));
            const view = made.use(
              new ReadingView(stream, buffers, waiting, {
                output,
                checker,
                watch: (memory, frame) => showing.show(memory.address, frame, captureTime(frame)),
              }),
            );
            const parts = made.move();
            return {
              take: (index, frame) => view.take(index, frame),
              [Symbol.dispose]: () => parts.dispose(),
            };
          };
          const options = { maxFrame, stallMs: 10_000, importers, openView, ...hooks };
          return borrowFrames(on, socket, options, stop);
        },
        summary: ({ fps }) => {
          output?.finish(fps);
          return display.summary(checker?.verified);
        },
      },
      ending,
    );
    return end === "stopped" && !display.closed.aborted ? "stopped" : "done";
  },
});

if (import.meta.main) await runMain(receiverZcSdl);

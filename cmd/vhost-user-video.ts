// vhost-user-video: serves a virtio-video decoder to a virtual machine monitor.
import { inGroup } from "../src/cli/groups.ts";
import { log } from "../src/cli/log.ts";
import { ownProgram } from "../src/cli/own-program.ts";
import { printOut } from "../src/cli/stdout.ts";
import { defineTool, runMain } from "../src/cli/tool.ts";
import { UnavailableError } from "../src/errors.ts";
import { capabilities, type FoundCodec } from "../src/vhost/server.ts";
import { dryRunMemory } from "../src/vhost/warm-up.ts";
import type { CodecBackend } from "../src/video/codec/codec.ts";
import {
  backendNames,
  type ChosenCodec,
  codecOptions,
  readCodecOptions,
} from "../src/video/codec/codec-options.ts";
import { decodeForDaemon } from "../src/video/codec/libavcodec/decoder-child.ts";
import { avLibraries } from "../src/video/codec/libavcodec/libraries.ts";
import { formatNames } from "../src/video/codec/offered.ts";
import { dryCommands } from "../src/video/dry-run.ts";
import { createVideoDevice } from "../src/video/video-device.ts";
import { toolRow } from "./tool-rows.ts";
import {
  daemonStatsOptions,
  frontEndOptions,
  frontEndPlace,
  frontEndVariables,
  serveDaemon,
} from "./vhost-user-daemon.ts";

/** Batches of the dry run: after so many the code is compiled that commands run through. */
const DRY_BATCHES = 10_000;

export const vhostUserVideo = defineTool({
  ...toolRow("vhost-user-video"),
  examples: [
    {
      does: "serve the first decoder that is here",
      line: "vhost-user-video -s /run/video.sock",
    },
    {
      does: "decode only H264 and VP9, with libavcodec",
      line: "vhost-user-video -s /run/video.sock -b libavcodec --formats H264,VP9",
    },
    { does: "show what this machine can offer", line: "vhost-user-video --print-capabilities" },
  ],
  files: [
    { word: "/dev/video*", meaning: "decoders of the kernel, for --backend v4l2-decoder" },
    { word: "/dev/udmabuf", meaning: "lets a decoder write into the memory of the guest" },
  ],
  environment: [
    { word: "LD_LIBRARY_PATH", meaning: "where libavcodec is looked for first" },
    ...frontEndVariables,
  ],
  options: {
    ...frontEndOptions,
    ...codecOptions,
    ...inGroup("decoder", {
      "max-streams": {
        type: "integer",
        min: 1,
        max: 1024,
        default: 64,
        help: "most streams a guest may have at the same time",
      },
      "print-capabilities": {
        type: "flag",
        help: "print the capabilities of this back-end as JSON, with the formats it has found, and end",
      },
    }),
    verbose: {
      type: "flag",
      group: "general",
      help: "with --version: name the libraries in use and their licences",
    },
    ...daemonStatsOptions,
  },
  libraries: avLibraries,
  async run(values, context) {
    if (decodeForDaemon()) return "done"; // this is the process of one stream's decoder
    const program = ownProgram("vhost-user-video");
    const chosen = readCodecOptions(values, program);
    if (values["print-capabilities"]) {
      await printOut(capabilities(backendNames, found(chosen)));
      return "done";
    }
    using owned = new DisposableStack();
    const dry = { ...dryCommands(dryRunMemory.address), count: DRY_BATCHES };
    const place = await frontEndPlace(context, values, owned, dry);
    if (place === undefined) return "done";
    // Before anyone can connect: without the decoder no front-end can be served.
    const codec = owned.use(chosen.open());
    if (chosen.because !== undefined)
      log.info(`decoder: ${chosen.name}, because ${chosen.because}`);
    await serveDaemon(
      context,
      place,
      {
        program,
        words: [...chosen.words, "--max-streams", String(values["max-streams"])],
        about: { ...foundCodec(chosen, codec), decoder: codec.deviceName },
        ahead: true,
        makeDevice: () => createVideoDevice({ backend: codec, maxStreams: values["max-streams"] }),
        // Each front-end's process opens its own.
        release: () => codec[Symbol.dispose](),
      },
      values,
    );
    return "done"; // also after SIGTERM, which is how a monitor ends its back-end
  },
});

/** The decoder that a front-end would get; none where it is not available. */
function found(chosen: ChosenCodec): FoundCodec | undefined {
  try {
    using codec = chosen.open();
    return foundCodec(chosen, codec);
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    log.warn(error.message);
    return undefined;
  }
}

const foundCodec = ({ name }: ChosenCodec, { capabilities }: CodecBackend): FoundCodec => ({
  backend: name,
  formats: formatNames(capabilities),
});

if (import.meta.main) await runMain(vhostUserVideo);

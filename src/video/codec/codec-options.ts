// The options that choose a decoder and set it, and how they are read.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { deviceFiles } from "../../cli/device-files.ts";
import { inGroup } from "../../cli/groups.ts";
import type { Options, Values } from "../../cli/options.ts";
import type { OwnProgram } from "../../cli/own-program.ts";
import { UsageError } from "../../errors.ts";
import { chooseCodec, openChosen } from "./choose.ts";
import type { CodecBackend } from "./codec.ts";
import { type CodecName, codecNames, codecs, openCodec } from "./index.ts";
import { codedNames, offerOnly, parseFormats } from "./offered.ts";

const AUTO = "auto";
/** The decoder of --backend v4l2-decoder when none is named. */
const FIRST_NODE = "/dev/video0";
const MIN_SIDE = 16;
const MAX_SIDE = 16_384;
const sizeRange = `${MIN_SIDE}x${MIN_SIDE} to ${MAX_SIDE}x${MAX_SIDE}`;
/** 16384x8192. The slots for larger pictures would not fit into one mapping (mapping.ts). */
const MAX_PIXELS = 1 << 27;

/** The back-ends that can be named. */
export const backendNames: readonly string[] = [AUTO, ...codecNames];

export const codecOptions = inGroup("decoder", {
  backend: {
    short: "b",
    type: "text",
    default: AUTO,
    value: backendNames.join("|"),
    completes: { words: backendNames },
    help: "decoder to use; auto: a V4L2 decoder if there is one, otherwise libavcodec",
  },
  "v4l2-device": {
    short: "d",
    type: "text",
    value: "DEVICE",
    completes: deviceFiles.video,
    help: `stateful decoder: node, by-id name or card name (--backend v4l2-decoder without it: ${FIRST_NODE})`,
  },
  threads: {
    type: "integer",
    min: 1,
    max: 16,
    default: 1,
    help: "threads of each stream's decoder, for libavcodec; each adds a picture of delay",
  },
  formats: {
    type: "text",
    value: "NAME,...",
    completes: { words: codedNames, commas: true },
    help: `coded formats to offer, of ${codedNames.join(", ")}; all that the decoder has without it`,
  },
  "max-picture": {
    type: "text",
    default: "4096x2304",
    pattern: [/^\d{2,5}x\d{2,5}$/, "a size like 1920x1080"],
    value: "SIZE",
    help: `largest pictures to decode, for libavcodec (${sizeRange}, at most ${MAX_PIXELS} pixels)`,
  },
} as const satisfies Options);

type Given = Omit<Values<typeof codecOptions>, "given"> & {
  readonly given: { has(option: string): boolean };
};

/** Options that only one back-end uses. */
const optionsOf = {
  null: [],
  "v4l2-decoder": ["v4l2-device"],
  libavcodec: ["threads", "max-picture"],
} as const satisfies Record<CodecName, readonly (keyof typeof codecOptions)[]>;

/** A decoder that the command line has chosen. */
export interface ChosenCodec {
  readonly name: CodecName;
  /** Why it was chosen; undefined when it was named. */
  readonly because: string | undefined;
  /** The options that choose the same one again, for another process. */
  readonly words: readonly string[];
  /** Opens and checks it. Throws UnavailableError. */
  open(): CodecBackend;
}

/** Reads the options. `program` is this tool, for decoders in processes of their own. Throws UsageError. */
export function readCodecOptions(values: Given, program: OwnProgram): ChosenCodec {
  const { backend, threads, formats } = values;
  const device = values["v4l2-device"];
  const wanted = formats === undefined ? undefined : parseFormats(formats);
  const size = readSize(values["max-picture"]);
  const choice =
    backend === AUTO
      ? chooseCodec(device)
      : { backend: named(backend), device: device ?? FIRST_NODE, because: undefined };
  if (backend !== AUTO) refuseOthers(choice.backend, values.given);
  const own: Record<(typeof optionsOf)[CodecName][number], string> = {
    "v4l2-device": fromAnywhere(choice.device),
    threads: String(threads),
    "max-picture": values["max-picture"],
  };
  const words = [
    ...["--backend", choice.backend],
    ...optionsOf[choice.backend].flatMap((name) => [`--${name}`, own[name]]),
    ...(formats === undefined ? [] : ["--formats", formats]),
  ];
  return {
    name: choice.backend,
    because: choice.because,
    words,
    open() {
      using owned = new DisposableStack();
      const { device } = choice;
      const options = { device, program, threads, ...size };
      const codec = owned.use(openChosen(choice, () => openCodec(choice.backend, options)));
      const capabilities =
        wanted === undefined ? codec.capabilities : offerOnly(codec.capabilities, wanted);
      owned.move();
      return { ...codec, capabilities };
    },
  };
}

/** Throws UsageError for an option that only another back-end uses. */
function refuseOthers(backend: CodecName, given: Given["given"]): void {
  for (const [other, names] of Object.entries(optionsOf))
    for (const name of names)
      if (other !== backend && given.has(name))
        throw new UsageError(`--${name} is only for --backend ${other}, got --backend ${backend}`);
}

/** The device for a process in another folder. A path becomes absolute; a number or the name of a card stays. */
const fromAnywhere = (device: string) => (existsSync(device) ? resolve(device) : device);

function named(backend: string): CodecName {
  const name = codecNames.find((known) => known === backend);
  if (name !== undefined) return name;
  const texts = codecs.map(({ name, title }) => `${name} (${title})`);
  throw new UsageError(`--backend "${backend}" is unknown: ${AUTO}, ${texts.join(", ")}`);
}

function readSize(text: string): { readonly maxWidth: number; readonly maxHeight: number } {
  const [maxWidth = 0, maxHeight = 0] = text.split("x").map(Number);
  if (Math.min(maxWidth, maxHeight) < MIN_SIDE || Math.max(maxWidth, maxHeight) > MAX_SIDE)
    throw new UsageError(`--max-picture must be ${sizeRange}, got "${text}"`);
  if (maxWidth * maxHeight > MAX_PIXELS)
    throw new UsageError(`--max-picture must have at most ${MAX_PIXELS} pixels, got "${text}"`);
  return { maxWidth, maxHeight };
}

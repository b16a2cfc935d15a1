// The codec that decodes with libavcodec, in a process for each stream. The daemon loads the library only to ask what it can do.

import { asSysError } from "../../../../ffi/errno.ts";
import { AVCODEC_PACKAGES, loadAvcodec } from "../../../../ffi/libavcodec.ts";
import { loadSwscale, SWSCALE_PACKAGES } from "../../../../ffi/swscale.ts";
import type { OwnProgram } from "../../../cli/own-program.ts";
import { needLibrary, UnavailableError } from "../../../errors.ts";
import { NV12, YUV420, YVU420 } from "../../formats.ts";
import type { CodecBackend, FormatCapability, FrameSizes } from "../codec.ts";
import { softwareCodecs } from "./codecs.ts";
import { LibavcodecSession } from "./session.ts";
import { StartGate } from "./start-gate.ts";

export interface LibavcodecOptions {
  /** Decodes when it is started again for that: decoder-child.ts. */
  readonly program: OwnProgram;
  readonly threads: number;
  readonly maxWidth: number;
  readonly maxHeight: number;
  /** Bounds how often the guest can have a process started. */
  readonly gate?: StartGate;
}

/** The picture formats, the one that is used until the guest names another first. */
const rawFormats = [YUV420, NV12, YVU420];
const SMALLEST = 16;

/** Checks that the library is there and what it decodes. Throws UnavailableError. */
export function openLibavcodec(options: LibavcodecOptions): CodecBackend {
  const { program, threads, maxWidth, maxHeight, gate = new StartGate() } = options;
  const library = needLibrary(loadAvcodec, AVCODEC_PACKAGES);
  needLibrary(loadSwscale, SWSCALE_PACKAGES);
  const found = softwareCodecs.filter(({ name }) => library.decodes(name));
  if (found.length === 0)
    throw new UnavailableError(
      `${library.soname} decodes no format a guest can be offered; install ${AVCODEC_PACKAGES}`,
    );
  const sizes: FrameSizes = {
    width: { min: SMALLEST, max: maxWidth, step: 1 },
    height: { min: SMALLEST, max: maxHeight, step: 1 },
  };
  const every = (count: number) => (1n << BigInt(count)) - 1n;
  const row = (format: number, others: number): FormatCapability => ({
    format,
    mask: every(others),
    sizes: [sizes],
  });
  return {
    name: "libavcodec",
    deviceName: `FFmpeg ${library.soname}`,
    capabilities: {
      input: found.map(({ format }) => row(format, rawFormats.length)),
      output: rawFormats.map((format) => row(format, found.length)),
    },
    controlValues: () => undefined,
    open(loop, coded, client) {
      const limits = { threads, maxPixels: maxWidth * maxHeight };
      const start = { loop, program, limits, gate };
      try {
        return new LibavcodecSession({ start, sizes, coded, raw: YUV420, client });
      } catch (error) {
        throw asSysError(error) ?? error;
      }
    },
    [Symbol.dispose]: () => undefined,
  };
}

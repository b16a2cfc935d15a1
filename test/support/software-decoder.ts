// The libavcodec back-end as tests use it: its processes run the tool from the sources.
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";
import type { OwnProgram } from "../../src/cli/own-program.ts";
import type { CodecBackend } from "../../src/video/codec/codec.ts";
import {
  type LibavcodecOptions,
  openLibavcodec,
} from "../../src/video/codec/libavcodec/backend.ts";

/** The tool, which is a decoder's process when the daemon starts it as one. */
export const decoderProgram: OwnProgram = {
  file: process.execPath,
  name: "vhost-user-video",
  words: [join(import.meta.dir, "../../cmd/vhost-user-video.ts")],
};

/** The back-end; installs FFmpeg where it is missing. */
export function softwareDecoder(options: Partial<LibavcodecOptions> = {}): CodecBackend {
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]); // with its libraries
  return openLibavcodec({
    program: decoderProgram,
    threads: 1,
    maxWidth: 4096,
    maxHeight: 2304,
    ...options,
  });
}

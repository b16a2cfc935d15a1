// Clips for decoder tests, made by ffmpeg in the test, and what ffmpeg itself decodes from them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureDebian } from "../../scripts/ensure.ts";

export interface ClipKind {
  readonly name: string;
  /** The codec, in FFmpeg's words. */
  readonly codec: string;
  /** Of `ffmpeg`, between the source and the file. */
  readonly encode: readonly string[];
  /** The container: an elementary stream, or IVF for codecs without start codes. */
  readonly container: string;
  readonly size?: string;
  readonly frames?: number;
}

/** A folder for clips; removed when it is disposed. */
export class Clips implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "framepass-clips-"));

  /** The path of a new clip. */
  make({ name, encode, container, size = "320x240", frames = 300 }: ClipKind): string {
    const path = join(this.folder, `${name}.${container}`);
    const source = `testsrc2=size=${size}:rate=30`;
    ffmpeg(["-f", "lavfi", "-i", source, "-frames:v", String(frames), ...encode, path]);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs ffmpeg; answers what it writes to stdout. */
export function ffmpeg(words: readonly string[]): Buffer {
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
  const run = Bun.spawnSync(["ffmpeg", "-v", "error", "-nostdin", "-y", ...words], {
    maxBuffer: 1 << 30,
  });
  if (run.exitCode !== 0) throw new Error(`ffmpeg ${words.join(" ")}: ${run.stderr}`);
  return run.stdout;
}

/** The md5 of each picture that ffmpeg decodes from a clip, in its pixel format `format`. */
export function pictureSums(path: string, format: string): string[] {
  const text = ffmpeg([
    "-i",
    path,
    "-fps_mode",
    "passthrough",
    "-pix_fmt",
    format,
    "-f",
    "framemd5",
    "-",
  ]);
  const lines = text.toString().split("\n");
  return lines
    .filter((line) => /^\d/.test(line))
    .map((line) => line.split(",").at(-1)?.trim() ?? "");
}

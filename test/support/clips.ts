// Clips for decoder tests, made by ffmpeg in the test, and what ffmpeg itself decodes from them.
import { createHash } from "node:crypto";
import {
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { cacheDir, ensureDebian } from "../../scripts/ensure.ts";

export interface ClipKind {
  readonly name: string;
  /** FFmpeg's name of the codec. */
  readonly codec: string;
  /** Words for ffmpeg that make an elementary stream or, where the codec has no start codes, an IVF file. */
  readonly encode: readonly string[];
  readonly size?: string;
  /** 300 if not given. */
  readonly frames?: number;
  /** The size from the middle on. */
  readonly later?: string;
  /** Samples from 0 to 255. */
  readonly fullRange?: boolean;
}

const x264 = (...words: string[]) => ["-c:v", "libx264", "-preset", "veryfast", ...words];
const x265 = (params: string, ...words: string[]) => [
  ...["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", `log-level=none:${params}`],
  ...words,
];
const vp9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"];
const vp8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"];
const altRef = ["-auto-alt-ref", "1", "-lag-in-frames", "16", "-deadline", "good"];

/** One row for each property of bitstreams that decoders treat in a way of its own. */
export const clipKinds: readonly ClipKind[] = [
  { name: "H.264 baseline", codec: "h264", encode: x264("-profile:v", "baseline") },
  {
    name: "H.264 main with a pyramid of B-frames",
    codec: "h264",
    encode: x264("-profile:v", "main", "-bf", "3", "-x264-params", "b-pyramid=normal:ref=4"),
  },
  {
    name: "H.264 high with 8 references and 8x8 transform",
    codec: "h264",
    encode: x264("-profile:v", "high", "-x264-params", "ref=8:bframes=5:8x8dct=1:weightp=2"),
  },
  {
    name: "H.264 interlaced",
    codec: "h264",
    encode: x264("-flags", "+ildct+ilme", "-x264-params", "tff=1"),
  },
  {
    name: "H.264 with open groups and periodic refresh",
    codec: "h264",
    encode: x264("-g", "30", "-x264-params", "open-gop=1"),
  },
  {
    name: "H.264 with slices and no delay",
    codec: "h264",
    encode: x264("-tune", "zerolatency", "-x264-params", "slices=4"),
  },
  { name: "H.264 cropped", codec: "h264", encode: x264(), size: "174x142" },
  { name: "H.264 of two sizes", codec: "h264", encode: x264(), later: "256x192" },
  {
    name: "H.264 10 bit",
    codec: "h264",
    encode: x264("-pix_fmt", "yuv420p10le", "-profile:v", "high10"),
  },
  {
    name: "H.264 4:2:2",
    codec: "h264",
    encode: x264("-pix_fmt", "yuv422p", "-profile:v", "high422"),
  },
  {
    name: "H.264 of full range",
    codec: "h264",
    encode: x264("-pix_fmt", "yuvj420p"),
    fullRange: true,
  },
  {
    name: "H.264 grey",
    codec: "h264",
    encode: x264("-pix_fmt", "gray"),
    fullRange: true,
  },
  { name: "HEVC main", codec: "hevc", encode: x265("bframes=4:b-pyramid=1:ref=4") },
  { name: "HEVC cropped", codec: "hevc", encode: x265("bframes=2"), size: "174x142" },
  { name: "HEVC of two sizes", codec: "hevc", encode: x265("bframes=2"), later: "256x192" },
  { name: "HEVC 10 bit", codec: "hevc", encode: x265("bframes=2", "-pix_fmt", "yuv420p10le") },
  { name: "VP8", codec: "vp8", encode: vp8 },
  { name: "VP8 with hidden frames", codec: "vp8", encode: [...vp8, ...altRef, "-cpu-used", "5"] },
  { name: "VP8 of an odd size", codec: "vp8", encode: vp8, size: "175x143" },
  { name: "VP9", codec: "vp9", encode: vp9 },
  { name: "VP9 with superframes", codec: "vp9", encode: [...vp9, ...altRef, "-cpu-used", "5"] },
  { name: "VP9 of an odd size", codec: "vp9", encode: vp9, size: "175x143" },
  { name: "VP9 of two sizes", codec: "vp9", encode: vp9, later: "256x192" },
  { name: "VP9 10 bit", codec: "vp9", encode: [...vp9, "-pix_fmt", "yuv420p10le"] },
  { name: "MPEG-2", codec: "mpeg2video", encode: ["-c:v", "mpeg2video", "-bf", "2"] },
  {
    name: "MPEG-2 interlaced",
    codec: "mpeg2video",
    encode: ["-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-alternate_scan", "1"],
  },
  {
    name: "MPEG-2 of an odd size",
    codec: "mpeg2video",
    encode: ["-c:v", "mpeg2video", "-bf", "2"],
    size: "175x143",
  },
  { name: "MPEG-4", codec: "mpeg4", encode: ["-c:v", "mpeg4", "-bf", "2"] },
  { name: "MPEG-4 of an odd size", codec: "mpeg4", encode: ["-c:v", "mpeg4"], size: "175x143" },
];

/** FFmpeg's names of the files' forms. */
const muxers: Readonly<Record<string, string>> = {
  h264: "h264",
  hevc: "hevc",
  vp8: "ivf",
  vp9: "ivf",
  mpeg2video: "mpeg2video",
  mpeg4: "m4v",
  av1: "ivf",
};

const FRAMES = 300;
const IVF_HEADER = 32;
const IVF_FRAME_HEADER = 12;

/** A clip in a file. */
export interface Clip {
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Ranges of `bytes` that have the bitstream: one for each unit of IVF, else one. */
  readonly units: readonly { readonly at: number; readonly length: number }[];
}

/** Makes clips, and keeps them with what ffmpeg says about them: making all takes longer than decoding them. */
export class Clips {
  readonly #folder = clipFolder();
  readonly #read = new Map<string, Clip>();

  /** The clip of a kind, 300 frames. */
  get(kind: ClipKind): Clip {
    const read = this.#read.get(kind.name) ?? this.#make(kind);
    this.#read.set(kind.name, read);
    return read;
  }

  #make(kind: ClipKind): Clip {
    const muxer = muxers[kind.codec] ?? kind.codec;
    const path = join(this.#folder, `${hashOf(JSON.stringify(kind))}.${muxer}`);
    if (!existsSync(path)) keep(path, clipBytes(kind, muxer, `${path}.${process.pid}`));
    const bytes = new Uint8Array(readFileSync(path));
    const whole = [{ at: 0, length: bytes.length }];
    return { path, bytes, units: muxer === "ivf" ? ivfUnits(bytes) : whole };
  }
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** A folder for the clips of this ffmpeg. */
function clipFolder(): string {
  needFfmpeg();
  const { size, mtimeMs } = statSync(Bun.which("ffmpeg") ?? "/usr/bin/ffmpeg");
  const folder = join(cacheDir(), `clips-${hashOf(`${size} ${mtimeMs}`)}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Writes a file unless another process has written it by now: then that one stays. */
function keep(path: string, content: Uint8Array | string): void {
  const own = `${path}.${process.pid}`;
  writeFileSync(own, content);
  try {
    linkSync(own, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(own);
  }
}

/** The text of a file, which `make` makes when it does not exist. */
function kept(path: string, make: () => string): string {
  if (!existsSync(path)) keep(path, make());
  return readFileSync(path, "utf8");
}

function clipBytes(kind: ClipKind, muxer: string, scratch: string): Uint8Array {
  const { encode, size = "176x144", frames: all = FRAMES, later } = kind;
  const part = (of: string, frames: number) => {
    // The source makes even sizes only.
    const source = `testsrc2=size=256x192:rate=30,crop=${of.replace("x", ":")}:0:0:exact=1`;
    const output = ["-frames:v", String(frames), ...encode, "-f", muxer, scratch];
    ffmpeg(["-f", "lavfi", "-i", source, ...output]);
    const bytes = readFileSync(scratch);
    rmSync(scratch);
    return bytes;
  };
  if (later === undefined) return part(size, all);
  const header = muxer === "ivf" ? IVF_HEADER : 0;
  return Buffer.concat([part(size, all / 2), part(later, all / 2).subarray(header)]);
}

function ivfUnits(bytes: Uint8Array<ArrayBuffer>): { at: number; length: number }[] {
  const view = new DataView(bytes.buffer);
  const units = [];
  for (let at = IVF_HEADER; at < bytes.length; ) {
    const length = view.getUint32(at, true);
    units.push({ at: at + IVF_FRAME_HEADER, length });
    at += IVF_FRAME_HEADER + length;
  }
  return units;
}

/** Where units begin and end in the file of a clip. */
export function unitsOf(clip: Clip): { at: number; end: number }[] {
  if (clip.units.length > 1) return clip.units.map(({ at, length }) => ({ at, end: at + length }));
  const begins = picturePositions(clip).sort((a, b) => a - b);
  return begins.map((at, i) => ({ at, end: begins[i + 1] ?? clip.bytes.length }));
}

/** Runs ffmpeg; answers what it writes to stdout. */
export function ffmpeg(words: readonly string[]): string {
  return run("ffmpeg", ["-nostdin", "-y", ...words]);
}

function needFfmpeg(): void {
  ensureDebian([{ package: "ffmpeg", provides: "ffmpeg" }]);
}

function run(program: "ffmpeg" | "ffprobe", words: readonly string[]): string {
  needFfmpeg();
  const done = Bun.spawnSync([program, "-v", "error", ...words]);
  if (done.exitCode !== 0) throw new Error(`${program} ${words.join(" ")}: ${done.stderr}`);
  return done.stdout.toString();
}

/** The md5 of each picture that ffmpeg decodes from a clip. */
export interface ReferenceSums {
  readonly yuv420p: readonly string[];
  readonly nv12: readonly string[];
}

/** Decodes a clip with ffmpeg, without scaling and without a change of range. */
export function referenceSums({ path }: Clip, { fullRange = false }: ClipKind): ReferenceSums {
  const text = kept(`${path}.sums`, () => {
    const range = fullRange ? ["-vf", "scale=out_range=full"] : [];
    const sameSize = ["-map", "0:v", "-noautoscale", "-fps_mode", "passthrough", ...range];
    const nv12 = `${path}.${process.pid}.nv12`;
    const sums = ["-f", "framemd5"];
    const planar = [...sameSize, "-pix_fmt", "yuv420p", ...sums, "-"];
    const first = ffmpeg(["-i", path, ...planar, ...sameSize, "-pix_fmt", "nv12", ...sums, nv12]);
    const second = readFileSync(nv12, "utf8");
    rmSync(nv12);
    return JSON.stringify({ yuv420p: sumsIn(first), nv12: sumsIn(second) });
  });
  return JSON.parse(text) as ReferenceSums;
}

/** The sums in the text of framemd5. */
function sumsIn(text: string): string[] {
  const lines = text.split("\n").filter((line) => /^\d/.test(line));
  return lines.map((line) => line.split(",").at(-1)?.trim() ?? "");
}

/** For each picture in its order of display, where in the file its unit begins. */
export function picturePositions({ path }: Clip): number[] {
  const words = ["-show_entries", "frame=pkt_pos", "-of", "csv=p=0", path];
  return kept(`${path}.positions`, () => run("ffprobe", words))
    .split("\n")
    .map((line) => Number.parseInt(line, 10))
    .filter((position) => !Number.isNaN(position));
}

// A process that decodes inside the fence and then tries to leave it; fence.test.ts starts it. Its words: the paths of a clip of
// H.264 and of one of HEVC. It writes one line of JSON.
import { readFileSync } from "node:fs";
import { constants, getPriority } from "node:os";
import { errnoName, result } from "../../ffi/errno.ts";
import { loadAvcodec } from "../../ffi/libavcodec.ts";
import { addressOf, cString, libc } from "../../ffi/libc.ts";
import { loadSwscale } from "../../ffi/swscale.ts";
import { CLONE, CLONE3, deniedCalls } from "../../ffi/system-calls.ts";
import { enterFence } from "../../src/video/codec/libavcodec/fence.ts";
import { NV12 } from "../../src/video/formats.ts";
import type { Clip } from "./clips.ts";
import { decodeClip, openDecoder } from "./decode-clip.ts";
import { PictureSums } from "./picture-sums.ts";

const F_SETOWN = 8;

/** What fence.test.ts reads. */
export interface FenceReport {
  readonly fenced: boolean;
  readonly sums: Readonly<Record<string, readonly string[]>>;
  /** The answer of each call of `deniedCalls`, with arguments that would harm nothing: "EPERM". */
  readonly denied: Readonly<Record<string, string>>;
  /** The answers of calls that mean harm. */
  readonly attempts: Readonly<Record<string, string>>;
  readonly niceness: number;
}

const clipOf = (path: string): Clip => {
  const bytes = new Uint8Array(readFileSync(path));
  return { path, bytes, units: [{ at: 0, length: bytes.length }] };
};

function decode(codec: string, clip: Clip, threads: number): string[] {
  const sink = new PictureSums(NV12);
  using decoder = openDecoder(codec, sink, { threads });
  decodeClip(decoder, sink, clip, 4096);
  Bun.gc(true);
  return sink.sums;
}

function answerOf(r: number): string {
  const answer = result(r);
  return answer < 0 ? errnoName(-answer) : `answered ${r}`;
}

function main([h264 = "", hevc = ""]: readonly string[]): FenceReport {
  const clips = { h264: clipOf(h264), hevc: clipOf(hevc) };
  const [path, program] = [cString(h264), cString("/bin/true")];
  loadAvcodec();
  loadSwscale();
  const fenced = enterFence();
  if (!fenced) throw new Error("this kernel has no seccomp filters"); // the calls below would be executed
  const sums = { h264: decode("h264", clips.h264, 1), hevc: decode("hevc", clips.hevc, 2) };
  const numberOf = (name: string) => {
    const call = [...deniedCalls, CLONE, CLONE3].find((row) => row.name === name);
    return (process.arch === "arm64" ? call?.arm64 : call?.x64) ?? -1;
  };
  const call = (name: string, ...[a = 0, b = 0, c = 0]: readonly number[]) =>
    answerOf(libc.syscall(numberOf(name), a, b, c, 0, 0, 0));
  const parent = process.ppid;
  const at = addressOf(path);
  return {
    fenced,
    sums,
    denied: Object.fromEntries(
      deniedCalls
        .filter(({ name }) => numberOf(name) !== -1)
        .map(({ name }) => [name, call(name, -1, -1, -1)]),
    ),
    attempts: {
      "open a file": answerOf(libc.open(at, 0, 0)),
      "truncate a file": call("truncate", at, 0),
      "open a socket": answerOf(libc.socket(2, 1, 0)),
      "kill the parent": call("kill", parent, 0),
      "signal a thread of the parent": call("tgkill", parent, parent, 0),
      "let the kernel send signals to the parent": answerOf(libc.fcntl(0, F_SETOWN, parent)),
      "attach to the parent": call("ptrace", 16, parent),
      "run a program": call("execve", addressOf(program)),
      "start a process": call("clone", constants.signals.SIGCHLD),
      "start a process by clone3": call("clone3"),
      "signal itself": call("kill", process.pid, 0),
    },
    niceness: getPriority(),
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(main(process.argv.slice(2)))}\n`);

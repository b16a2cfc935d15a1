// What users would take instead of our tools, and our tools, as command lines that send frames from one process to another.
// Each has its cheapest source: what is compared is the moving of frames and not their painting.
import { join } from "node:path";
import { freePort } from "./bench.ts";

export interface Wish {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  /** A folder in memory, with `FRAMES_FILE` in it. */
  readonly work: string;
}

/** A file with 4 frames, which ffmpeg sends in a loop. */
export const FRAMES_FILE = "frames";

/** Two processes: the one that listens is started first. */
export interface Command {
  readonly send: readonly string[];
  readonly receive: readonly string[];
  readonly listens: "send" | "receive";
  /** What the listener makes: a TCP port, or a socket in the file system. */
  readonly at: number | string;
  /** Whether the sender has no end of its own: it is stopped when the receiver has all frames. */
  readonly endless?: true;
}

export interface Way {
  readonly name: string;
  readonly command: (wish: Wish) => Command;
}

const dist = join(import.meta.dir, "../../dist");
const size = ({ width, height }: Wish) => ["-W", `${width}`, "-H", `${height}`];
const words = (text: string) => text.split(" ");

const tool = (name: string, ...more: string[]) => [join(dist, name), "--stats", "0", ...more];
/** testsrc is painted once; per frame its square moves and its stamp changes. */
const source = (wish: Wish) => ["-d", "testsrc", "-r", "0", "-n", `${wish.frames}`, ...size(wish)];
/** shmsink has memory for more frames. */
const LENT = ["--buffers", "8"];

export const ours: Readonly<Record<"copy" | "fd", Way>> = {
  copy: {
    name: "sender, receiver",
    command: (wish) => {
      const port = freePort();
      const at = ["127.0.0.1", "-p", `${port}`];
      return {
        send: tool("sender", "-a", ...at, ...source(wish)),
        receive: tool("receiver", "-l", ...at, "--json"),
        listens: "receive",
        at: port,
      };
    },
  },
  fd: {
    name: "sender_zc, receiver_zc, fd",
    command: (wish) => {
      const path = join(wish.work, "framepass.sock");
      const at = [`unix:${path}`, "--share", "fd"];
      return {
        send: tool("sender_zc", "-a", ...at, ...source(wish), ...LENT),
        receive: tool("receiver_zc", "-l", ...at, "--json"),
        listens: "receive",
        at: path,
      };
    },
  },
};

const gst = (text: string) => ["gst-launch-1.0", "-q", ...words(text)];
const caps = ({ width, height }: Wish) =>
  `video/x-raw,format=YUY2,width=${width},height=${height},framerate=60/1`;
/** New buffers that nothing is painted into. */
const unpainted = (wish: Wish, count: number) =>
  `fakesrc num-buffers=${count} sizetype=fixed sizemax=${frameBytes(wish)} filltype=nothing`;
/** The sink lends its memory to this source, which paints black into it. */
const black = (wish: Wish) => `videotestsrc pattern=black ! ${caps(wish)}`;
export const frameBytes = ({ width, height }: Pick<Wish, "width" | "height">) => width * height * 2;

/** Frames in shmsink's memory. More are slower: with 8 they stay in the cache. */
const SHM_FRAMES = 8;
const SHM_HEADERS = 2 ** 16;

function gstLocal(kind: "shm" | "unixfd", wish: Wish, from: string, sink: string): Command {
  const path = join(wish.work, `${kind}.sock`);
  return {
    send: gst(`${from} ! ${kind}sink socket-path=${path} sync=false ${sink}`.trim()),
    receive: gst(`${kind}src socket-path=${path} ! fakesink sync=false num-buffers=${wish.frames}`),
    listens: "send",
    at: path,
    endless: true,
  };
}

export const peers = {
  tcp: [
    {
      name: "GStreamer, tcpclientsink and tcpserversrc",
      command: (wish) => {
        const port = freePort();
        const at = `host=127.0.0.1 port=${port}`;
        const bytes = frameBytes(wish);
        return {
          send: gst(`${unpainted(wish, wish.frames)} ! tcpclientsink ${at} sync=false`),
          receive: gst(`tcpserversrc ${at} blocksize=${bytes} ! fakesink sync=false`),
          listens: "receive",
          at: port,
        };
      },
    },
    {
      name: "ffmpeg, rawvideo over tcp",
      command: (wish) => {
        const port = freePort();
        // Without its own buffers of 32 KiB ffmpeg is faster.
        const direct = ["-avioflags", "direct"];
        const ffmpeg = ["ffmpeg", "-nostdin", "-v", "error", "-f", "rawvideo", ...direct];
        const pixels = ["-pixel_format", "yuyv422", "-video_size", `${wish.width}x${wish.height}`];
        const file = ["-stream_loop", "-1", "-i", join(wish.work, FRAMES_FILE)];
        const out = ["-c", "copy", "-frames:v", `${wish.frames}`, "-f", "rawvideo", ...direct];
        const url = `tcp://127.0.0.1:${port}`;
        return {
          send: [...ffmpeg, ...pixels, ...file, ...out, url],
          receive: [...ffmpeg, ...pixels, "-i", `${url}?listen=1`, "-c", "copy", "-f", "null", "-"],
          listens: "receive",
          at: port,
        };
      },
    },
  ],
  // A source that paints into shmsink's memory needs no copy, but in GStreamer 1.22 it often stops in the middle: decision 0053.
  shm: [
    {
      name: "GStreamer, shmsink and shmsrc",
      command: (wish) => {
        const bytes = SHM_FRAMES * frameBytes(wish) + SHM_HEADERS;
        const options = `wait-for-connection=true shm-size=${bytes}`;
        return gstLocal("shm", wish, unpainted(wish, -1), options);
      },
    },
  ],
  /** Where GStreamer has it, from 1.24. */
  unixfd: [
    {
      name: "GStreamer, unixfdsink and unixfdsrc",
      command: (wish) => {
        const option = "wait-for-connection"; // of newer versions
        const waits = aboutUnixfd()?.includes(option) ? `${option}=true` : "";
        return gstLocal("unixfd", wish, black(wish), waits);
      },
    },
  ],
} as const satisfies Record<string, readonly Way[]>;

/** GStreamer's version. */
export function gstVersion(): string {
  const { stdout } = Bun.spawnSync(["gst-launch-1.0", "--version"]);
  return /GStreamer (\S+)/.exec(stdout.toString())?.[1] ?? "of unknown version";
}

/** The description of unixfdsink by gst-inspect-1.0; undefined where GStreamer does not have it. */
function aboutUnixfd(): string | undefined {
  const { exitCode, stdout } = Bun.spawnSync(["gst-inspect-1.0", "unixfdsink"]);
  return exitCode === 0 ? stdout.toString() : undefined;
}

export const hasUnixfd = () => aboutUnixfd() !== undefined;

// A guest with the kernel's virtual codec, our back-end serving its decoder, and a front-end that plays clips through it.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { type ClipOptions, timeOf } from "../support/clip-player.ts";
import { buildProgram } from "./compiled.ts";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { vicodecModules } from "./modules.ts";
import { wanted } from "./wanted.ts";

/** A clip of moving pictures. vicodec takes 640x360 and up, multiples of 16. */
export interface Clip {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  /** Frames from one key frame to the next. */
  readonly gop?: number;
}

/** vicodec's own. */
const GOP = 10;

/** What to play: options of ClipPlayer, files by their paths in the guest. */
export interface StreamWish extends Omit<ClipOptions, "clip" | "out"> {
  readonly clip: string;
  readonly out?: string;
  /** How often the machine is paused while this stream decodes; for the first of several streams. */
  readonly pauses?: number;
  /** How often memory is plugged in and out while this stream decodes, instead of pauses. */
  readonly plugs?: number;
  /** How often the memory table is replaced while this stream decodes, instead of pauses. */
  readonly tables?: number;
  /** What the front-end does before the first of several streams: a new driver, or a new memory table. */
  readonly before?: "reset" | "table";
}

/** The player's result of a stream. */
export interface Played {
  readonly stream: number;
  readonly frames: number;
  readonly errors: number;
  readonly eos: number;
  readonly changes: number;
  /** From the first bitstream to the last picture. */
  readonly seconds: number;
  /** From the picture number SETTLED to the last. */
  readonly settled: number;
  readonly times: readonly string[];
  /** Bytes on the heap afterwards, where the back-end is in the player's process. */
  readonly heap: number;
}

const socket = "/tmp/video.sock";
const playMs = 60_000;

export class Vicodec {
  readonly guest: Guest;
  readonly encoder: string;
  readonly decoder: string;

  private constructor(guest: Guest, encoder: string, decoder: string) {
    this.guest = guest;
    this.encoder = encoder;
    this.decoder = decoder;
  }

  /** Boots a guest with vicodec loaded as asked and the player in it. */
  static async boot(lab: Lab, name: string, multiplanar: boolean, cpus = 1): Promise<Vicodec> {
    const modules = await vicodecModules();
    const player = buildProgram("video-player");
    const guest = await lab.boot({
      name,
      modules: [`${modules.get("vicodec")} multiplanar=${multiplanar ? 1 : 0}`],
      memoryMib: 1536,
      packages: ["diffutils"], // busybox compares byte by byte: ten seconds for a clip
      processors: cpus,
    });
    cpSync(player, join(guest.share, "player"));
    await guest.ok("cp player /tmp/player"); // started from the share, it would be read again each time
    const node = (list: string) =>
      guest.ok(
        `for n in /dev/video*; do v4l2-ctl -d $n ${list} | grep -q "'FWHT'" && echo -n $n && break; done`,
      );
    return new Vicodec(guest, await node("--list-formats"), await node("--list-formats-out"));
  }

  /** Lets the encoder make /tmp/NAME.fwht, unless another guest has made it (`made`). */
  async encode(name: string, clip: Clip, made?: Map<string, Uint8Array>): Promise<void> {
    const { width, height, gop = GOP } = clip;
    const file = join(this.guest.share, `${name}.fwht`);
    const known = made?.get(name);
    if (known !== undefined) {
      await Bun.write(file, known);
      await this.guest.ok(`mv ${name}.fwht /tmp`);
      return;
    }
    await Bun.write(join(this.guest.share, "in.yuv"), movingPicture(clip));
    await this.guest.ok(
      `v4l2-ctl -d ${this.encoder} --set-ctrl=video_gop_size=${gop} --set-fmt-video-out=width=${width},height=${height},pixelformat=YU12 --stream-mmap --stream-out-mmap --stream-from=in.yuv --stream-to=/tmp/${name}.fwht
       rm in.yuv; cp /tmp/${name}.fwht .`,
      { timeoutMs: playMs },
    );
    made?.set(name, await Bun.file(file).bytes());
  }

  /** The command with which v4l2-ctl decodes /tmp/NAME.fwht. */
  directly(name: string, { width, height }: Clip, format = "YU12", out = ""): string {
    const size = `width=${width},height=${height}`;
    return `v4l2-ctl -d ${this.decoder} --set-fmt-video-out=${size},pixelformat=FWHT --set-fmt-video=${size},pixelformat=${format} --stream-mmap --stream-out-mmap --stream-from=/tmp/${name}.fwht ${out}`;
  }

  /** Lets v4l2-ctl decode /tmp/NAME.fwht to /tmp/OUT: the result that ours must equal. */
  async reference(name: string, clip: Clip, out: string, format = "YU12"): Promise<void> {
    const bytes = (clip.width * clip.height * 3 * clip.frames) / 2;
    await this.guest.ok(
      `${this.directly(name, clip, format, `--stream-to=/tmp/${out}`)} >/dev/null 2>&1
       test $(stat -c %s /tmp/${out}) = ${bytes} || { echo "$(stat -c %s /tmp/${out}) bytes, not ${bytes}"; exit 1; }`,
      { timeoutMs: playMs },
    );
  }

  /** Starts our back-end on the decoder, for one front-end after the other. */
  async serve(options = ""): Promise<ReturnType<Guest["start"]>> {
    const job = this.guest.start(
      `exec framepass vhost-user-video -s ${socket} -b v4l2-decoder -d ${this.decoder} ${options}`,
      { timeoutMs: 240_000 },
    );
    await this.guest.until(`test -S ${socket}`);
    return job;
  }

  /** Ends the guest, because two at a time would share the processors. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.guest[Symbol.asyncDispose]();
  }

  /** Starts a front-end that stays connected: to the running back-end, or to one in its own process. */
  player(where: "served" | "own process" | "own process, dmabuf" = "served"): Player {
    if (where === "served") return new Player(this.guest, socket);
    return new Player(this.guest, this.decoder, where === "own process" ? "" : "dmabuf");
  }
}

let players = 0;

/** A front-end in the guest that plays one list of clips after the other. */
export class Player {
  readonly #guest: Guest;
  readonly job: ReturnType<Guest["start"]>;
  readonly #base = `/tmp/play${++players}`;
  #turns = 0;

  constructor(guest: Guest, where: string, way = "") {
    this.#guest = guest;
    this.job = guest.start(`exec /tmp/player ${where} ${this.#base} ${way}`, {
      timeoutMs: 240_000,
    });
  }

  async #tell(wishes: readonly StreamWish[]): Promise<void> {
    const path = `${this.#base}.${++this.#turns}`;
    await this.#guest.ok(`echo '${JSON.stringify(wishes)}' >/tmp/wish && mv /tmp/wish ${path}`);
  }

  /** Plays a list of clips at the same time. */
  async play(...wishes: readonly StreamWish[]): Promise<readonly Played[]> {
    await this.#tell(wishes);
    const lateMs = performance.now() + playMs;
    let ended = false;
    this.job.result.finally(() => {
      ended = true;
    });
    for (;;) {
      const { stdout, stderr } = this.job.output();
      const lines = stdout.split("\n");
      const line = lines.length > this.#turns ? lines[this.#turns - 1] : undefined;
      if (line !== undefined) return JSON.parse(line) as Played[];
      if (ended || performance.now() > lateMs) throw new Error(`not played: ${stderr.trim()}`);
      await Bun.sleep(20);
    }
  }

  /** Ends it. Throws when it has found an error. */
  async end(): Promise<void> {
    await this.#tell([]);
    const { status, stderr } = await this.job.result;
    if (status !== 0) throw new Error(`the player: ${stderr.trim()}`);
  }
}

/** Checks that there is one stream, without errors, of so many pictures. */
export function good(played: readonly Played[], fields: Partial<Played>): Played {
  const [first] = played;
  if (first === undefined) throw new Error("nothing was played");
  for (const [name, value] of Object.entries({ errors: 0, ...fields }))
    wanted(name, first[name as keyof Played], value);
  return first;
}

/** Checks that each picture has the time of its frame. */
export function timesOf({ times, frames }: Played): void {
  wanted("times", times.length, frames);
  for (const [i, time] of times.entries()) wanted(`time ${i}`, time, String(timeOf(i)));
}

/** YU12 pictures of a gradient with a square that moves. */
function movingPicture({ width, height, frames }: Clip): Uint8Array {
  const size = (width * height * 3) / 2;
  const all = new Uint8Array(size * frames);
  const ground = new Uint8Array(size);
  for (let i = 0; i < size; i++) ground[i] = ((i % width) + Math.floor(i / width)) & 0xff;
  const side = 64;
  for (let f = 0; f < frames; f++) {
    all.set(ground, f * size);
    const left = (f * 5) % (width - side);
    const top = (f * 3) % (height - side);
    for (let y = top; y < top + side; y++) {
      const at = f * size + y * width + left;
      all.fill(30 + (f % 200), at, at + side);
    }
  }
  return all;
}

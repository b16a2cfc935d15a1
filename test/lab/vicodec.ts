// A guest with the kernel's virtual codec, our back-end serving its decoder, and a front-end that plays clips through it.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { buildProgram } from "./compiled.ts";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { vicodecModules } from "./modules.ts";

/** A clip of moving pictures. vicodec takes 640x360 and up, multiples of 16. */
export interface Clip {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

/** What the player says of a stream. */
export interface Played {
  readonly frames: number;
  readonly errors: number;
  readonly eos: number;
  readonly changes: number;
  /** From the first bitstream to the last picture. */
  readonly seconds: number;
  readonly times: readonly string[];
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
  static async boot(lab: Lab, name: string, multiplanar: boolean): Promise<Vicodec> {
    const modules = await vicodecModules();
    const player = buildProgram("video-player");
    const guest = await lab.boot({
      name,
      modules: [`${modules.get("vicodec")} multiplanar=${multiplanar ? 1 : 0}`],
      memoryMib: 1536,
    });
    cpSync(player, join(guest.share, "player"));
    await guest.ok("cp player /tmp/player"); // a start from the share reads it all again
    const node = (list: string) =>
      guest.ok(
        `for n in /dev/video*; do v4l2-ctl -d $n ${list} | grep -q "'FWHT'" && echo -n $n && break; done`,
      );
    return new Vicodec(guest, await node("--list-formats"), await node("--list-formats-out"));
  }

  /** Has the encoder make /tmp/NAME.fwht. */
  async encode(name: string, clip: Clip): Promise<void> {
    const { width, height } = clip;
    await Bun.write(join(this.guest.share, "in.yuv"), movingPicture(clip));
    await this.guest.ok(
      `v4l2-ctl -d ${this.encoder} --set-fmt-video-out=width=${width},height=${height},pixelformat=YU12 --stream-mmap --stream-out-mmap --stream-from=in.yuv --stream-to=/tmp/${name}.fwht
       rm in.yuv`,
      { timeoutMs: playMs },
    );
  }

  /** The command with which v4l2-ctl decodes /tmp/NAME.fwht. */
  directly(name: string, { width, height }: Clip, format = "YU12", out = ""): string {
    const size = `width=${width},height=${height}`;
    return `v4l2-ctl -d ${this.decoder} --set-fmt-video-out=${size},pixelformat=FWHT --set-fmt-video=${size},pixelformat=${format} --stream-mmap --stream-out-mmap --stream-from=/tmp/${name}.fwht ${out}`;
  }

  /** Has v4l2-ctl decode /tmp/NAME.fwht to /tmp/OUT: what is wanted of us. */
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

  /** Plays clips through the back-end; `options` are the player's. */
  async play(options: string): Promise<readonly Played[]> {
    const said = await this.guest.ok(`/tmp/player --socket ${socket} ${options}`, {
      timeoutMs: playMs,
    });
    return playedIn(said);
  }

  /** Starts a player that plays a clip as often as it is told to. */
  player(options: string, times: number): PlayerJob {
    return new PlayerJob(this.guest, `--repeat ${times} --socket ${socket} ${options}`);
  }
}

function playedIn(said: string): readonly Played[] {
  return said
    .slice(0, said.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Played);
}

let players = 0;

/** A player that stays, with everything compiled that was run before. */
export class PlayerJob {
  readonly #guest: Guest;
  readonly #job: ReturnType<Guest["start"]>;
  readonly #go: string;
  #turns = 0;

  constructor(guest: Guest, options: string) {
    this.#guest = guest;
    this.#go = `/tmp/go${players++}`;
    this.#job = guest.start(`exec /tmp/player --go ${this.#go} ${options}`, { timeoutMs: 240_000 });
  }

  get job(): ReturnType<Guest["start"]> {
    return this.#job;
  }

  /** Has it play once more. */
  async play(): Promise<Played> {
    this.#turns++;
    await this.#guest.ok(`touch ${this.#go}.${this.#turns}`);
    const late = performance.now() + playMs;
    for (;;) {
      const played = playedIn(this.#job.output().stdout)[this.#turns - 1];
      if (played !== undefined) return played;
      if (performance.now() > late) throw new Error(`not played: ${this.#job.output().stderr}`);
      await Bun.sleep(20);
    }
  }
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

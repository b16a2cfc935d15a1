// A guest of QEMU 11.1 in front of vhost-user-media on the host, with the lab's driver and a program that uses the camera:
// test/lab/media-driver.
import { join, resolve } from "node:path";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { buildModules, buildStatic } from "./modules.ts";

const source = resolve(import.meta.dir, "media-driver");
const MEMORY_MIB = 512;
/** QEMU 11.1 knows no device 48. */
const DEVICE = 45;
const PROGRESS = "/tmp/progress";

/** The driver and the program, built. */
export interface MediaPrograms {
  readonly ko: string;
  readonly camera: string;
}

export async function mediaPrograms(): Promise<MediaPrograms> {
  const ko = (await buildModules(source)).get("framepass_media");
  if (ko === undefined) throw new Error("the driver was not built");
  return { ko, camera: await buildStatic(join(source, "media-camera.c")) };
}

export interface MediaGuestOptions extends MediaPrograms {
  readonly qemu: string;
  /** The socket of the daemon. */
  readonly socket: string;
  readonly name?: string;
}

/** Boots a guest whose camera is the daemon on `socket`. */
export function bootWithCamera(lab: Lab, options: MediaGuestOptions): Promise<Guest> {
  const { ko, camera, qemu, socket, name = "guest" } = options;
  return lab.boot({
    name,
    modules: [ko],
    files: { "/bin/media-camera": camera },
    memoryMib: MEMORY_MIB,
    qemu,
    qemuArgs: [
      ...["-object", `memory-backend-memfd,id=mem,size=${MEMORY_MIB}M,share=on`],
      ...["-machine", "q35,memory-backend=mem"],
      ...["-chardev", `socket,id=camera,path=${socket}`],
      ...["-device", `vhost-user-test-device-pci,chardev=camera,virtio-id=${DEVICE},num_vqs=2`],
      ...["-global", "vhost-user-test-device-pci.config_size=40"],
    ],
  });
}

/** What the program counted. */
export type Seen = Readonly<
  Record<"frames" | "stamped" | "cards" | "torn" | "frozen" | "gaps" | "wrong", number>
>;

const seenIn = (line: string): Seen =>
  Object.fromEntries(
    [...line.matchAll(/(\w+)=(-?\d+)/g)].map(([, name, value]) => [name, Number(value)]),
  ) as unknown as Seen;

/** Streams until `frames` stamped pictures have come. Throws unless every picture was right. */
export async function stream(guest: Guest, frames: number, words = ""): Promise<Seen> {
  const said = await guest.ok(`media-camera stream -n ${frames} ${words}`, { timeoutMs: 90_000 });
  return seenIn(said);
}

/** Starts to stream and waits until some frames have come. */
export async function streaming(
  guest: Guest,
  frames: number,
  words = "",
): Promise<{ readonly ended: Promise<Seen>; stop(): Promise<void> }> {
  await guest.ok(`rm -f ${PROGRESS}`);
  const job = guest.start(`exec media-camera stream -n ${frames} -p ${PROGRESS} ${words}`, {
    timeoutMs: 90_000,
  });
  await guest.until(`test -s ${PROGRESS} && test $(cut -d' ' -f2 ${PROGRESS}) -gt 5`, 30_000);
  const ended = job.result.then(({ status, stdout, stderr }) => {
    if (status !== 0) throw new Error(`status ${status}: ${stderr || stdout}`);
    return seenIn(stdout);
  });
  ended.catch(() => undefined);
  return {
    ended,
    async stop() {
      job.kill("KILL");
      await job.result;
    },
  };
}

/** What the camera says of itself, and what the driver counted. */
export async function cameraInfo(guest: Guest): Promise<Readonly<Record<string, string>>> {
  const said = await guest.ok("media-camera info");
  return Object.fromEntries(said.split("\n").map((line) => line.split("=") as [string, string]));
}

// A guest of QEMU 11.1 in front of vhost-user-media on the host, with the lab's driver and a program that uses the camera:
// test/lab/media-driver.
import { join, resolve } from "node:path";
import { hostCommand } from "./debian.ts";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { buildModules, buildStatic } from "./modules.ts";

const source = resolve(import.meta.dir, "media-driver");
const MEMORY_MIB = 512;
/** QEMU from 11.2 on has a device of its own for it. */
export const OWN_DEVICE = "vhost-user-media-pci";
/** QEMU 11.1 knows no device 48, so the camera has the id 45 there. */
const STAND_IN = "vhost-user-test-device-pci,virtio-id=45,num_vqs=2,config_size=40";
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

/** The device that a QEMU has for the camera. */
export async function cameraDevice(qemu: string): Promise<string> {
  const help = await hostCommand([qemu, "-device", `${OWN_DEVICE},help`]); // nothing for a device it does not know
  return help.includes("chardev=") ? OWN_DEVICE : STAND_IN;
}

/** Boots a guest whose camera is the daemon on `socket`. */
export async function bootWithCamera(lab: Lab, options: MediaGuestOptions): Promise<Guest> {
  const { ko, camera, qemu, socket, name = "guest" } = options;
  const device = await cameraDevice(qemu);
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
      ...["-device", `${device},chardev=camera`],
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

/** How far a program is that `streaming` has started. */
export async function progress(guest: Guest): Promise<Pick<Seen, "frames" | "stamped" | "cards">> {
  const said = await guest.ok(`cat ${PROGRESS}`);
  const [frames = 0, stamped = 0, cards = 0] = said.split(" ").map(Number);
  return { frames, stamped, cards };
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
  await guest.until(`test -s ${PROGRESS} && test $(cut -d' ' -f1 ${PROGRESS}) -gt 5`, 30_000);
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

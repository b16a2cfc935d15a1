// A guest of QEMU 11.1 in front of vhost-user-video on the host, with the lab's driver of a decoder: test/lab/virtio-video.
import { resolve } from "node:path";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { buildModules } from "./modules.ts";

const source = resolve(import.meta.dir, "virtio-video");
const files = "/sys/kernel/debug/framepass_vvideo";
const MEMORY_MIB = 512;
const seconds = (n: number) => ({ timeoutMs: n * 1000 });

/** The driver, built. */
export async function decoderDriver(): Promise<string> {
  const ko = (await buildModules(source)).get("framepass_vvideo");
  if (ko === undefined) throw new Error("the driver was not built");
  return ko;
}

/** Boots a guest whose decoder is the daemon on `socket`. */
export function bootDecoding(
  lab: Lab,
  { qemu, ko, socket }: { readonly qemu: string; readonly ko: string; readonly socket: string },
): Promise<Guest> {
  return lab.boot({
    modules: [ko],
    memoryMib: MEMORY_MIB,
    qemu,
    qemuArgs: [
      ...["-object", `memory-backend-memfd,id=mem,size=${MEMORY_MIB}M,share=on`],
      ...["-machine", "q35,memory-backend=mem"],
      ...["-chardev", `socket,id=video,path=${socket}`],
      ...["-device", "vhost-user-test-device-pci,chardev=video,virtio-id=31,num_vqs=2"],
      ...["-global", "vhost-user-test-device-pci.config_size=44"],
    ],
  });
}

/** A counter of the driver. */
export const count = async (guest: Guest, name: string) =>
  Number(await guest.ok(`cat ${files}/${name}`));

/** Decodes frames; the driver fails unless every answer and every picture is right. */
export const decode = (guest: Guest, frames: number) =>
  guest.ok(`echo ${frames} >${files}/decode`, seconds(90));

/** Gives the driver a clip of the guest's share to decode. */
export const setClip = (guest: Guest, name: string) =>
  guest.ok(`dd if=${name} of=${files}/clip bs=8M 2>/dev/null`);

/** Starts to decode `frames` frames and waits until it is in the middle. */
export async function middle(guest: Guest, frames: number): Promise<ReturnType<Guest["start"]>> {
  const before = await count(guest, "decodes"); // "decoded" is that of the decode before until then
  await guest.ok(`echo 2 >${files}/pace_ms`);
  const job = guest.start(`echo ${frames} >${files}/decode`, seconds(120));
  const begun = `test $(cat ${files}/decodes) -gt ${before}`;
  await guest.until(`${begun} && test $(cat ${files}/decoded) -gt 40`, 30_000);
  return job;
}

/** Throws unless the decode is still in its middle. */
export async function inMiddle(guest: Guest, frames: number): Promise<void> {
  const decoded = await count(guest, "decoded");
  if (decoded < 40 || decoded >= frames)
    throw new Error(`not in the middle: ${decoded} frames of ${frames}`);
}

/** Stops and resumes the machine ten times in mid-decode. True when every frame was decoded. */
export async function survivesPauses(guest: Guest, frames: number): Promise<boolean> {
  const job = await middle(guest, frames);
  for (let i = 0; i < 10; i++) {
    await guest.qmp("stop");
    await Bun.sleep(100);
    await guest.qmp("cont");
    await Bun.sleep(50);
  }
  const { status, stderr } = await job.result;
  if (status !== 0) throw new Error(`status ${status}: ${stderr}`);
  return (await count(guest, "decoded")) === frames;
}

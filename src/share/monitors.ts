// How each virtual machine monitor gives its guest the file that two guests share: a row each. docs/monitors.md.
import { shellWord } from "../cli/shell.ts";

/**
 * QEMU's options for the sender's guest and the receiver's guest, to be pasted into a shell command that boots it. `-cpu max`
 * is among them: Bun needs SSE4.2, and QEMU's default processor model has none.
 */
export function qemuOptions(path: string, size: number): { sender: string; receiver: string } {
  const file = path.replaceAll(",", ",,"); // QEMU's way to write a comma in a value
  const line = (backend: string, device: string) =>
    [
      "-machine pc,nvdimm=on -cpu max -m 1G,slots=2,maxmem=4G -object",
      shellWord(
        `memory-backend-file,id=framepass,mem-path=${file},size=${size},share=on${backend}`,
      ),
      `-device nvdimm,memdev=framepass${device}`,
    ].join(" ");
  return { sender: line("", ""), receiver: line(",readonly=on", ",unarmed=on") };
}

// How each virtual machine monitor gives its guests the file that two of them share: a row each. docs/monitors.md.
import { shellWord } from "../cli/shell.ts";
import { UsageError } from "../errors.ts";

/** The file of `framepass share create`. */
export interface ShareFile {
  readonly path: string;
  /** In bytes, a multiple of 2 MiB. */
  readonly size: number;
}

export interface Monitor {
  readonly name: string;
  /**
   * What goes into a guest's configuration: a line for a shell, or lines of XML. The receiver's guest can only read the file.
   * Throws UsageError for a path that the monitor cannot be given.
   */
  guest(side: Side, file: ShareFile): string;
  /** What the user must know besides. */
  readonly note?: string;
}

export const sides = ["sender", "receiver"] as const;
export type Side = (typeof sides)[number];

const GIB = 1024 ** 3;

/** Memory of the guest in the printed lines, in GiB. */
const GUEST_GIB = 1;

/** Most memory of the guest with the region, in GiB. */
const mostGib = ({ size }: ShareFile) => Math.max(4, GUEST_GIB + Math.ceil(size / GIB));

/**
 * QEMU's options, to be pasted into a shell command that boots the guest. `-cpu max` is among them: Bun needs SSE4.2, and
 * QEMU's default processor model has none.
 */
const qemu: Monitor = {
  name: "qemu",
  guest(side, file) {
    const path = file.path.replaceAll(",", ",,"); // QEMU's way to write a comma in a value
    const [backend, device] = side === "sender" ? ["", ""] : [",readonly=on", ",unarmed=on"];
    return [
      `-machine pc,nvdimm=on -cpu max -m ${GUEST_GIB}G,slots=2,maxmem=${mostGib(file)}G -object`,
      shellWord(
        `memory-backend-file,id=framepass,mem-path=${path},size=${file.size},share=on${backend}`,
      ),
      `-device nvdimm,memdev=framepass${device}`,
    ].join(" ");
  },
};

/**
 * libvirt's domain XML, nested as it is merged into a domain. The guest finds the region by ACPI, which libvirt switches off
 * where the domain does not name it. Without a list the cell has all processors.
 */
const libvirt: Monitor = {
  name: "libvirt",
  note: "libvirt opens the file for writing in both guests; that the receiver's guest only reads is left to its kernel",
  guest(side, file) {
    const readonly = side === "sender" ? "" : "<readonly/>";
    return `<domain type='kvm'>
  <maxMemory slots='2' unit='GiB'>${mostGib(file)}</maxMemory>
  <memory unit='GiB'>${GUEST_GIB}</memory>
  <features><acpi/></features>
  <cpu mode='maximum'><numa><cell id='0' memory='${GUEST_GIB}' unit='GiB'/></numa></cpu>
  <devices>
    <memory model='nvdimm' access='shared'>
      <source><path>${xmlText(file.path)}</path></source>
      <target><size unit='MiB'>${file.size / 1024 ** 2}</size><node>0</node>${readonly}</target>
    </memory>
  </devices>
</domain>`;
  },
};

/** crosvm reads a value with separators in double quotes. */
const crosvm: Monitor = {
  name: "crosvm",
  guest(side, { path }) {
    const plain = !/[,"'[\]\\]/.test(path);
    const value = plain ? path : `"${path.replaceAll(/[\\"]/g, "\\$&")}"`;
    return `--pmem ${shellWord(`path=${value}${side === "sender" ? "" : ",ro=true"}`)}`;
  },
};

/** cloud-hypervisor reads a comma in double quotes, and knows no way to write a double quote. */
const cloudHypervisor: Monitor = {
  name: "cloud-hypervisor",
  guest(side, { path }) {
    if (/["[\]]|\s$/.test(path)) {
      throw new UsageError(
        `FILE ${path}: cloud-hypervisor takes no path with ", [ or ], or with a blank at its end; choose another name`,
      );
    }
    const value = path.includes(",") ? `"${path}"` : path;
    return `--pmem ${shellWord(`file=${value}${side === "sender" ? "" : ",discard_writes=on"}`)}`;
  },
};

/** The monitors, in the order of --for. */
export const monitors: readonly Monitor[] = [qemu, libvirt, crosvm, cloudHypervisor];

/** The row of a name that --for has accepted. */
export function monitorNamed(name: string): Monitor {
  const found = monitors.find((monitor) => monitor.name === name);
  if (found === undefined) throw new UsageError(`no monitor ${name}`);
  return found;
}

/** Text of an element, or of an attribute in single or double quotes. Throws UsageError for what XML 1.0 cannot have. */
function xmlText(text: string): string {
  if (/[^\t\n\r -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.test(text)) {
    throw new UsageError(
      `FILE ${text}: XML cannot have its control characters; choose another name`,
    );
  }
  return text.replaceAll(/[&<>"'\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}

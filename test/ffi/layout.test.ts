// Every table of a kernel struct and every ioctl code, compared with what the C compiler makes of the header.
import { expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Ioctl } from "../../ffi/ioctl.ts";
import type { Fields, StructType } from "../../ffi/struct.ts";
import {
  CLONE,
  CLONE3,
  deniedCalls,
  FCNTL,
  SCHED_SETATTR,
  SECCOMP,
} from "../../ffi/system-calls.ts";
import { askCompiler } from "../support/c-compiler.ts";

type Table = StructType<Fields>;
type Code = Ioctl<Fields>;

const directory = resolve(import.meta.dir, "../../ffi/linux");
/** What each file of ffi/linux is checked against; a file whose structs have no system header is in test/layout. */
const headers: Record<string, readonly string[]> = {
  "videodev2.ts": ["linux/videodev2.h"],
  "dma-heap.ts": ["linux/dma-heap.h", "linux/dma-buf.h"],
  "mman.ts": ["sys/mman.h"],
  "sched.ts": ["linux/sched/types.h", "linux/sched.h"],
  "seccomp.ts": ["linux/seccomp.h", "linux/filter.h", "linux/audit.h"],
  "udmabuf.ts": ["linux/udmabuf.h"],
  "socket.ts": [
    "sys/socket.h",
    "netinet/in.h",
    "netinet/tcp.h",
    "sys/un.h",
    "linux/vm_sockets.h",
    "sys/uio.h",
    "limits.h",
  ],
  "tcp.ts": ["linux/tcp.h"],
  "time.ts": ["time.h", "sys/timerfd.h"],
  "xen-gntalloc.ts": ["xen/gntalloc.h"],
  "xen-gntdev.ts": ["xen/gntdev.h"],
};
/** Types that a header needs and does not define: <xen/interface/grant_table.h>, which only kernels have. */
const types: Record<string, readonly string[]> = {
  "xen-gntdev.ts": ["-Dgrant_ref_t=uint32_t", "-Ddomid_t=uint16_t"],
};
/** Structs that new kernels append to: ours is the first part. */
const growing = new Set(["struct tcp_info", "struct sched_attr"]);

const isTable = (value: unknown): value is Table =>
  typeof value === "object" && value !== null && "fields" in value && "alloc" in value;
const isIoctl = (value: unknown): value is Code =>
  typeof value === "object" && value !== null && "code" in value && "argument" in value;

const system = (header: string) => `<${header}>`;

/** Size in C of a member, where it has one of its own. */
const sized = (table: Table, member: string) => `sizeof(((${table.name} *)0)->${member})`;

test("every file of ffi/linux has headers to be checked against", () => {
  const files = readdirSync(directory);
  const own = (file: string) => join(import.meta.dir, "../layout", file.replace(/\.ts$/, ".h"));
  expect(files.filter((file) => !(file in headers) && !existsSync(own(file)))).toEqual([]);
  expect(Object.keys(headers).filter((file) => !files.includes(file))).toEqual([]);
});

test.each(Object.entries(headers))(
  "%s: sizes, offsets and codes are the compiler's",
  async (file, includes) => {
    const module: Record<string, unknown> = await import(join(directory, file));
    const expected: [string, number][] = [];
    const questions: string[] = [];
    const question = (what: string, c: string, ours: number) => {
      expected.push([what, ours]);
      questions.push(c);
    };
    for (const [name, value] of Object.entries(module)) {
      if (isTable(value)) {
        if (growing.has(value.name))
          question(`${value.name} has ours`, `sizeof(${value.name}) >= ${value.size}`, 1);
        else question(`sizeof ${value.name}`, `sizeof(${value.name})`, value.size);
        for (const [member, field] of Object.entries(value.fields)) {
          question(`${value.name}.${member}`, `offsetof(${value.name}, ${member})`, field.offset);
          const first = member.endsWith("plane_fmt"); // an array, of which the table has the first word
          if (!first) question(`sizeof ${value.name}.${member}`, sized(value, member), field.size);
        }
      } else if (isIoctl(value)) question(name, name, value.code);
      else if (typeof value === "number") question(name, `(uint32_t)(${name})`, value);
    }
    const answers = askCompiler(includes.map(system), questions, types[file]);
    expect(answers.length).toBe(expected.length);
    const ours = expected.map(([what, value]) => `${what} = ${value}`);
    expect(ours).toEqual(expected.map(([what], i) => `${what} = ${answers[i]}`));
  },
);

/** Calls that are newer than the headers of Debian 12. */
const newer = new Set([
  "fchmodat2",
  "setxattrat",
  "removexattrat",
  "open_tree_attr",
  "file_setattr",
]);
const numbers = [...deniedCalls, CLONE, CLONE3, FCNTL, SCHED_SETATTR, SECCOMP].filter(
  ({ name }) => !newer.has(name),
);
const unistd = [
  { architecture: "x64", header: "x86_64-linux-gnu/asm/unistd_64.h", defines: [] },
  {
    architecture: "arm64",
    header: "asm-generic/unistd.h",
    defines: ["-D__ARCH_WANT_RENAMEAT", "-D__ARCH_WANT_SYS_CLONE3"], // as its asm/unistd.h does
  },
] as const;

test.each(unistd.filter(({ header }) => existsSync(`/usr/include/${header}`)))(
  "numbers of system calls for $architecture are those of its header",
  ({ architecture, header, defines }) => {
    const rows = numbers.filter((call) => call[architecture] !== undefined);
    expect(rows.length).toBeGreaterThan(80);
    const answers = askCompiler(
      [system(header)],
      rows.map(({ name }) => `__NR_${name}`),
      defines,
    );
    expect(rows.map((call) => `${call.name} ${call[architecture]}`)).toEqual(
      rows.map(({ name }, i) => `${name} ${answers[i]}`),
    );
  },
);

// What the monitors' rows print, read back by the rules of each monitor. Whether QEMU and libvirt take it is shown by the
// scenario `monitors` of the guest lab; crosvm and cloud-hypervisor are not run: their rules are those of their sources.
import { expect, test } from "bun:test";
import { monitorNamed, monitors, type ShareFile, sides } from "../../src/share/monitors.ts";

const MIB = 2 ** 20;
const file = (path: string, size = 128 * MIB): ShareFile => ({ path, size });
const both = (name: string, shared: ShareFile) =>
  sides.map((side) => monitorNamed(name).guest(side, shared));

/** The words that a shell makes of a line. */
function words(line: string): string[] {
  const { stdout } = Bun.spawnSync(["bash", "-c", `printf '%s\\0' ${line}`]);
  return stdout.toString().split("\0").slice(0, -1);
}

const odd = ["/tmp/my frames/f", "/tmp/a,b", "/tmp/it's, $HOME/f", "/tmp/f;id,<a>&b"];

test("QEMU's options give both guests a processor that Bun runs on", () => {
  for (const line of both("qemu", file("/tmp/a"))) expect(line).toContain(" -cpu max ");
});

test("QEMU's options let the receiver's guest only read", () => {
  const [sender, receiver] = both("qemu", file("/tmp/a,b", 4 * MIB));
  expect(sender).toContain("mem-path=/tmp/a,,b,size=4194304,share=on ");
  expect(receiver).toContain("share=on,readonly=on -device nvdimm,memdev=framepass,unarmed=on");
});

test.each([
  [128, 4],
  [3072, 4],
  [3074, 5],
  [4096, 5],
])("a region of %d MiB fits beside the guest's own memory in %d GiB", (mib, gib) => {
  for (const line of both("qemu", file("/f", mib * MIB))) expect(line).toContain(`maxmem=${gib}G `);
  for (const xml of both("libvirt", file("/f", mib * MIB))) {
    expect(xml).toContain(`<maxMemory slots='2' unit='GiB'>${gib}</maxMemory>`);
    expect(xml).toContain(`<size unit='MiB'>${mib}</size>`);
  }
});

test.each(odd)("crosvm and cloud-hypervisor get %s in one word, with its commas quoted", (path) => {
  for (const [name, key, readOnly] of [
    ["crosvm", "path", "ro=true"],
    ["cloud-hypervisor", "file", "discard_writes=on"],
  ] as const) {
    const quoted = name === "crosvm" ? /[,']/.test(path) : path.includes(",");
    const value = quoted ? `"${path}"` : path;
    expect(both(name, file(path)).map(words)).toEqual([
      ["--pmem", `${key}=${value}`],
      ["--pmem", `${key}=${value},${readOnly}`],
    ]);
  }
});

test("crosvm gets a double quote and a backslash with a backslash before them", () => {
  const [sender = ""] = both("crosvm", file('/tmp/a"b\\c'));
  expect(words(sender)).toEqual(["--pmem", 'path="/tmp/a\\"b\\\\c"']);
});

test.each(['/tmp/a"b', "/tmp/a[b", "/tmp/a]", "/tmp/a "])(
  "cloud-hypervisor, which cannot be given %s, is refused it",
  (path) => {
    expect(() => both("cloud-hypervisor", file(path))).toThrow("choose another name");
  },
);

test("a path with a character that XML cannot have is refused for libvirt", () => {
  expect(() => both("libvirt", file("/tmp/a\x01b"))).toThrow("choose another name");
});

test("only the receiver's guest is marked as one that reads, by every monitor", () => {
  const mark = /readonly|ro=true|discard_writes=on/;
  for (const { name } of monitors) {
    const [sender, receiver] = both(name, file("/f"));
    expect({ name, sender: mark.test(`${sender}`) }).toEqual({ name, sender: false });
    expect({ name, receiver: mark.test(`${receiver}`) }).toEqual({ name, receiver: true });
  }
});

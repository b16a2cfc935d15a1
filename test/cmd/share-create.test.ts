// `framepass share create`: what it prints for each monitor, for people and for scripts.
import { expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { TempDir } from "../support/tool.ts";

const entry = resolve(import.meta.dir, "../../cmd/framepass.ts");

function create(path: string, ...words: string[]) {
  const child = Bun.spawnSync(
    [process.execPath, entry, "share", "create", path, "--size", "4M", ...words],
    { timeout: 20_000 },
  );
  return {
    status: child.exitCode,
    stdout: child.stdout.toString(),
    stderr: child.stderr.toString(),
  };
}

test.each(["qemu", "crosvm", "cloud-hypervisor"])(
  "%s: one line for each guest, which its name begins",
  (monitor) => {
    using temp = new TempDir();
    const { status, stdout, stderr } = create(temp.file("f"), "--for", monitor);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^sender: {3}-.*\nreceiver: -.*\n$/);
    expect(statSync(temp.file("f")).size).toBe(4 << 20);
  },
);

test("without --for the lines are QEMU's", () => {
  using temp = new TempDir();
  const [first, second] = [create(temp.file("a")), create(temp.file("b"), "--for", "qemu")];
  expect(first.stdout).toBe(second.stdout.replaceAll(temp.file("b"), temp.file("a")));
});

test("libvirt: a domain for each guest under its name, and a warning that the receiver's is not held to reading", () => {
  using temp = new TempDir();
  const { status, stdout, stderr } = create(temp.file("a & b"), "--for", "libvirt");
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /^sender:\n<domain [\s\S]*<\/domain>\nreceiver:\n<domain [\s\S]*<readonly\/>[\s\S]*<\/domain>\n$/,
  );
  expect(stdout).toContain("a &#38; b</path>");
  expect(stderr).toMatch(/^framepass share: warn: libvirt opens the file for writing .*\n$/);
});

test("--json: an object for each guest, with what the text has", () => {
  using temp = new TempDir();
  const { stdout } = create(temp.file("a b"), "--json", "--for", "crosvm");
  const value = `path=${temp.file("a b")}`;
  expect(
    stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { record: "guest", monitor: "crosvm", side: "sender", config: `--pmem '${value}'` },
    { record: "guest", monitor: "crosvm", side: "receiver", config: `--pmem '${value},ro=true'` },
  ]);
});

test("a path that the monitor cannot be given is refused before a file is made", () => {
  using temp = new TempDir();
  const { status, stderr } = create(temp.file('a"b'), "--for", "cloud-hypervisor");
  expect(status).toBe(2);
  expect(stderr).toContain("choose another name");
  expect(existsSync(temp.file('a"b'))).toBe(false);
});

test("a monitor that is not known is refused with the names of those that are", () => {
  using temp = new TempDir();
  const { status, stderr } = create(temp.file("f"), "--for", "virtualbox");
  expect(status).toBe(2);
  expect(stderr).toContain("--for must be qemu, libvirt, crosvm, cloud-hypervisor");
});

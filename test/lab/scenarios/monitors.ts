// What docs/monitors.md and `framepass share create` say that monitors are given: QEMU starts with every line of it, and libvirt
// takes every domain of it and makes the same QEMU options of it. No guest boots.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectDir } from "../../../scripts/ensure.ts";
import { monitorNamed, type ShareFile, sides } from "../../../src/share/monitors.ts";
import { createShareFile } from "../../../src/share/nvdimm.ts";
import { currentQemu } from "../current-qemu.ts";
import type { Lab, Scenario } from "../lab.ts";
import { ensureLibvirt, qemuWords, shellWords, wholeDomain } from "../libvirt.ts";
import { cameraDevice, OWN_DEVICE } from "../media-guest.ts";
import { Scratch } from "../scratch.ts";
import { StartedQemu } from "../started-qemu.ts";
import { VideoDaemon } from "../video-daemon.ts";
import { wanted } from "../wanted.ts";

const MIB = 2 ** 20;
const hostQemu = "qemu-system-x86_64";
const page = () => readFileSync(join(projectDir, "docs/monitors.md"), "utf8");

/** The blocks of a language in the page. */
const blocks = (language: string) =>
  [...page().matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, "gm"))].map(
    ([, text = ""]) => text,
  );

/** QEMU's options in the page, a line each, without what stands for the rest. */
const qemuLines = () =>
  blocks("sh")
    .flatMap((block) => block.replaceAll("\\\n", " ").split("\n"))
    .flatMap((line) => /^qemu-system-x86_64 (.*?) \.\.\./.exec(line)?.[1] ?? []);

export const scenario: Scenario = {
  name: "monitors",
  title: "every QEMU line and every libvirt domain of docs/monitors.md is accepted",
  seconds: 6,
  besideOthers: true,
  async run(lab) {
    ensureLibvirt();
    using scratch = new Scratch();
    const { path } = scratch;
    const region = { path: join(path, "frames"), size: 128 * MIB };
    createShareFile(region.path, region.size);
    const here = (text: string) =>
      text.replaceAll("/dev/shm/frames", region.path).replaceAll("/run/", `${path}/`);

    const [sender, receiver, video, camera] = qemuLines().map(here);
    for (const [side, line] of [
      ["sender", sender],
      ["receiver", receiver],
    ] as const) {
      await lab.check(`QEMU starts with the ${side}'s line and has the region`, () =>
        startWith(path, line ?? "", region, side === "receiver"),
      );
    }
    await oddName(lab, path);
    await lab.check("QEMU 11.1 starts with the decoder's line and has the device", () =>
      startWithDaemon(path, {
        tool: "vhost-user-video",
        options: ["-b", "null"],
        socket: "video.sock",
        line: video,
        id: 31,
      }),
    );
    await lab.check("QEMU starts with the camera's line and has the device", async () => {
      const device = await cameraDevice(await currentQemu());
      await startWithDaemon(path, {
        tool: "vhost-user-media",
        options: ["-d", "testsrc"],
        socket: "camera.sock",
        line: camera?.replace(OWN_DEVICE, device),
        id: device === OWN_DEVICE ? 48 : 45,
      });
    });
    const domains = blocks("xml").map(here);
    wanted("domains in the page", domains.length, 5);
    for (const [i, domain] of domains.entries()) {
      await lab.check(`libvirt takes domain ${i + 1} of the page`, async () => {
        const words = await qemuWords(path, wholeDomain(domain));
        const daemons = { "video.sock": video, "camera.sock": camera };
        for (const [socket, line = ""] of Object.entries(daemons))
          if (domain.includes(socket)) return deviceOf(words, await shellWords(line));
        regionOf(words, region, domain.includes("readonly"));
      });
    }
  },
};

/** A daemon, the line of a QEMU in front of it, and the virtio device that the guest gets. */
interface Front {
  readonly tool: "vhost-user-video" | "vhost-user-media";
  readonly options: readonly string[];
  readonly socket: string;
  readonly line: string | undefined;
  readonly id: number;
}

/** QEMU starts with the line, and the guest has the device. */
async function startWithDaemon(directory: string, front: Front): Promise<void> {
  const { tool, options, socket, line = "", id } = front;
  await using _daemon = await VideoDaemon.start(
    join(projectDir, "dist", tool),
    join(directory, socket),
    options,
  );
  const words = await shellWords(line);
  await using qemu = await StartedQemu.start(directory, await currentQemu(), words);
  const devices = await qemu.ask<{ devices: { id: { device: number } }[] }[]>("query-pci");
  const ids = devices.flatMap((bus) => bus.devices.map(({ id: { device } }) => device - 0x1040));
  wanted(`virtio devices ${id}`, ids.filter((each) => each === id).length, 1);
}

/** QEMU starts with the line, and has the region with the right rights. */
async function startWith(
  directory: string,
  line: string,
  { path, size }: ShareFile,
  reads: boolean,
) {
  await using qemu = await StartedQemu.start(directory, hostQemu, await shellWords(line));
  const devices =
    await qemu.ask<{ type: string; data: { size: number } }[]>("query-memory-devices");
  wanted(
    "memory devices",
    devices.map(({ type, data }) => `${type} ${data.size}`).join(),
    `nvdimm ${size}`,
  );
  const property = (name: string) =>
    qemu.ask<unknown>("qom-get", { path: "/objects/framepass", property: name });
  wanted("its file", await property("mem-path"), path);
  wanted("its file is shared", await property("share"), true);
  wanted("its file is only read", await property("readonly"), reads);
}

/** A name with all that is quoted: by the shell, by QEMU and in XML. */
async function oddName(lab: Lab, directory: string): Promise<void> {
  const file = { path: join(directory, `my "frames", it's <a> & b`), size: 4 * MIB };
  createShareFile(file.path, file.size);
  for (const side of sides) {
    const name = "a name with blanks, commas and quotes";
    await lab.check(`${name} reaches the ${side}'s QEMU whole`, () =>
      startWith(directory, monitorNamed("qemu").guest(side, file), file, side === "receiver"),
    );
    await lab.check(`${name} reaches the ${side}'s QEMU whole from libvirt`, async () => {
      const domain = wholeDomain(monitorNamed("libvirt").guest(side, file));
      regionOf(await qemuWords(directory, domain), file, side === "receiver");
    });
  }
}

/** The options that make the region, in a command of libvirt's: in JSON where libvirt writes them, else in QEMU's own words. */
function regionOf(words: readonly string[], { path, size }: ShareFile, reads: boolean): void {
  const after = (option: string) => words.filter((_, i) => words[i - 1] === option);
  const values = (option: string) => after(option).map(properties);
  const backend = values("-object").find((each) => each["mem-path"] !== undefined);
  wanted("the file", backend?.["mem-path"], path);
  wanted("its size", Number(backend?.size), size);
  wanted("it is shared", isOn(backend?.share), true);
  const device = values("-device").find(({ driver }) => driver === "nvdimm");
  wanted("the device's file", device?.memdev, backend?.id ?? backend?.["qom-type"]);
  wanted("it is for reading", isOn(device?.unarmed), reads);
  wanted("nvdimm=on", /(^|,)nvdimm=on(,|$)/.test(after("-machine").join()), true);
  wanted("the guest has ACPI", words.includes("-no-acpi"), false);
  wanted("room for it", /slots=2,maxmem=4194304k/.test(after("-m").join()), true);
}

const isOn = (value: unknown) => value === true || value === "on";

/** The properties of an option's value; the first word has no name. */
function properties(value: string): Readonly<Record<string, unknown>> {
  if (value.startsWith("{")) return JSON.parse(value);
  const pairs = value.split(",").map((pair) => pair.split("=", 2) as [string, string?]);
  return Object.fromEntries(pairs.map(([name, text]) => (text ? [name, text] : ["driver", name])));
}

/** The options that make a daemon's device are the words of the QEMU line, and the memory is shared. */
function deviceOf(words: readonly string[], line: readonly string[]): void {
  for (const option of ["-chardev", "-device"]) {
    const word = line[line.indexOf(option) + 1] ?? "";
    wanted(`${option} ${word}`, words[words.indexOf(word) - 1], option);
  }
  const memory = words.find((word) => word.includes("memory-backend-memfd")) ?? "";
  wanted("the memory is shared", isOn(properties(memory).share), true);
}

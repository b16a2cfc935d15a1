// `framepass devices` against v4l2-ctl on the same nodes: names, formats, sizes, rates, controls.
import type { DeviceReport, Pixels } from "../../src/devices/report.ts";
import type { ListedDevice } from "../../src/devices/table.ts";
import { controlName } from "../../src/v4l2/control-list.ts";
import type { Guest } from "./guest.ts";
import { wanted } from "./wanted.ts";

/** What our tool says about all nodes, or those that `words` ask for. */
export async function listedDevices(guest: Guest, words = ""): Promise<readonly ListedDevice[]> {
  const stdout = await guest.ok(`framepass devices --json --controls ${words}`, {
    timeoutMs: 100_000, // vivid lists 7000 rates, and calls are slow under emulation
  });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as ListedDevice);
}

/** Flags of a format that our report does not have: what a caller may ask to convert, and how a codec is driven. */
const flagsNotListed =
  /(, (csc-[a-z-]+|continuous-bytestream|dyn-resolution|enc-cap-frame-interval))+/g;

/** Compares a report with what v4l2-ctl prints. Answers how many lines and controls were compared. */
export async function compareWithV4l2Ctl(guest: Guest, device: ListedDevice): Promise<number> {
  const { node } = device;
  const ctl = (words: string) => guest.ok(`v4l2-ctl -d ${node} ${words}`);
  wanted(`${node}: problem`, device.problem, undefined);
  wanted(`${node}: cut`, device.cut, false);
  const info = await ctl("--info");
  const field = (name: string) => new RegExp(`${name}\\s*: (.*)`).exec(info)?.[1]?.trim();
  wanted(`${node}: driver`, device.driver, field("Driver name"));
  wanted(`${node}: card`, device.card, field("Card type"));
  wanted(`${node}: bus`, device.bus, field("Bus info"));
  let compared = 0;
  for (const [queue, list] of [
    ["capture", "--list-formats-ext"],
    ["output", "--list-formats-out-ext"],
  ] as const) {
    const printed = (await ctl(list)).replace(flagsNotListed, "");
    const theirs = printed.split("\n").map((line) => line.trim());
    const wish = theirs.filter((line) => /^(\[|Size:|Interval:)/.test(line));
    const ours = linesOf(device, queue);
    for (const [i, line] of wish.entries()) wanted(`${node}: line ${i} of ${list}`, ours[i], line);
    wanted(`${node}: lines of ${list}`, ours.length, wish.length);
    compared += wish.length;
  }
  return compared + compareControls(device, await ctl("--list-ctrls"));
}

/** The formats as v4l2-ctl 1.22 prints them. */
function linesOf({ formats }: DeviceReport, queue: "capture" | "output"): string[] {
  return formats
    .filter((format) => format.queue === queue)
    .flatMap(({ format, description, compressed, sizes }, i) => [
      `[${i}]: '${printedName(format)}' (${description}${compressed ? ", compressed" : ""})`,
      ...sizes.flatMap(({ width, height, fps }) => [
        sizeLine(width, height),
        ...("min" in fps ? [] : fps.map(rateLine)),
      ]),
    ]);
}

/** v4l2-ctl prints bit 31 of a fourcc as "-BE"; ours is the number then, which has a character of 8 bits. */
function printedName(format: string): string {
  if (!format.startsWith("0x")) return format.padEnd(4);
  const code = Number(format) & 0x7fff_ffff;
  const bytes = [0, 8, 16, 24].map((shift) => (code >>> shift) & 0xff);
  return `${String.fromCharCode(...bytes)}-BE`;
}

function sizeLine(width: Pixels, height: Pixels): string {
  if (typeof width === "number" || typeof height === "number")
    return `Size: Discrete ${width}x${height}`;
  const from = `${width.min}x${height.min}`;
  const to = `${width.max}x${height.max}`;
  return `Size: Stepwise ${from} - ${to} with step ${width.step}/${height.step}`;
}

const rateLine = (fps: number) =>
  `Interval: Discrete ${(1 / fps).toFixed(3)}s (${fps.toFixed(3)} fps)`;

function compareControls({ node, controls: all = [] }: ListedDevice, printed: string): number {
  // Some arrays it cannot print; it says so on stdout.
  const failed = [...printed.matchAll(/^error \d+ getting ctrl (.*)$/gm)].map(([, title = ""]) =>
    controlName(title),
  );
  const controls = all.filter(({ name }) => !failed.includes(name));
  const theirs = [...printed.matchAll(/^\s+(\w+) 0x([0-9a-f]{8}) \(([\w-]+)\)\s*:(.*)$/gm)];
  const names = theirs.map(([, name]) => name).join(" ");
  wanted(`${node}: controls`, controls.map(({ name }) => name).join(" "), names);
  for (const [i, [, name, id = "", type, rest = ""]] of theirs.entries()) {
    const ours = controls[i];
    if (ours === undefined) throw new Error(`${node}: ${name} is missing`);
    wanted(`${node}: id of ${name}`, ours.id, Number.parseInt(id, 16));
    if (ours.type === "compound" || ours.type === "str") continue;
    wanted(`${node}: type of ${name}`, ours.type, type);
    for (const [, key = "", value = ""] of rest.matchAll(/(\w+)=(-?\w+)/g)) {
      if (!["min", "max", "step", "default", "value"].includes(key)) continue;
      const changes = ours.flags.includes("volatile") || ours.type === "button";
      if (key === "value" && changes) continue;
      // v4l2-ctl 1.22 prints the value of a bit mask with a sign.
      const number = ours.type === "bitmask" ? BigInt.asUintN(32, big(value)) : big(value);
      wanted(`${node}: ${key} of ${name}`, `${ours[key as "min"]}`, `${number}`);
    }
  }
  return theirs.length;
}

const big = (text: string) => (text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text));

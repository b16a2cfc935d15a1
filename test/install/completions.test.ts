// The completions are asked in the shells themselves. Not shown: shells of other versions than Debian's.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { tools } from "../../cmd/tools.ts";
import { ensureDebian } from "../../scripts/ensure.ts";
import type { ToolText } from "../../src/cli/tool-text.ts";
import { bashCompletion } from "../../src/install/completions/bash.ts";
import { fishCompletion, fishLinkCompletion } from "../../src/install/completions/fish.ts";
import { type CompletedTool, completedTool } from "../../src/install/completions/model.ts";
import { zshCompletion } from "../../src/install/completions/zsh.ts";
import { askShell } from "../support/asked-shell.ts";
import { TempDir } from "../support/tool.ts";

/** A tool with devices that are there, which this machine need not have. */
const probe = (folder: string): ToolText => ({
  name: "probe",
  summary: "it's [a] probe: first",
  options: {
    node: {
      short: "n",
      type: "text",
      help: "it's [a] node: first",
      completes: { words: ["pattern:bars"], globs: [`${folder}/video*`, `${folder}/absent*`] },
    },
  },
  examples: [],
});

/** Each line, and what may follow. */
const questions = (folder: string): (readonly [string, readonly string[]])[] => [
  ["framepass dev", ["devices"]],
  ["framepass help vhost", ["vhost-user-media", "vhost-user-video"]],
  ["framepass sender --recon", ["--reconnect"]],
  ["framepass sender -f NV", ["NV12", "NV21"]],
  ["framepass sender --format=YUY", ["YUYV"]],
  ["framepass sender -d testsrc:", ["testsrc:bars", "testsrc:gradient"]],
  ["framepass sender --device testsrc:g", ["testsrc:gradient"]],
  ["framepass sender -p ", []],
  ["framepass sender_zc --share d", ["dax"]],
  ["framepass receiver-zc -s virt", ["virtio-media"]],
  ["framepass receiver -p 5000 -o fil", ["film.y4m"]],
  ["framepass receiver_sdl --snapshot pic", ["pictures"]],
  ["framepass vhost-user-video --backend v", ["v4l2-decoder"]],
  ["framepass vhost-user-video --formats VP", ["VP8", "VP9"]],
  ["framepass vhost-user-video --formats VP8,H264,V", ["VP8,H264,VP9"]],
  ["framepass vhost-user-video --formats=VP8,V", ["VP8,VP9"]],
  ["framepass sender -d te", ["testsrc", "testsrc:bars", "testsrc:gradient", "tennis.y4m"]],
  ["framepass sender --device=te", ["testsrc", "testsrc:bars", "testsrc:gradient", "tennis.y4m"]],
  ["framepass share cr", ["create"]],
  ["framepass share create fil", ["film.y4m"]],
  ["framepass share --json --size 4M cr", ["create"]],
  ["framepass share -s 4M create fil", ["film.y4m"]],
  ["framepass share create -s 4M fil", ["film.y4m"]],
  ["framepass doctor --port 5000 receiver_z", ["receiver_zc", "receiver_zc_sdl"]],
  ["framepass install --prefix pic", ["pictures"]],
  ["framepass probe -n ", ["pattern:bars", `${folder}/video0`, `${folder}/video1`]],
  [`framepass probe --node=${folder}/video`, [`${folder}/video0`, `${folder}/video1`]],
  ["sender -m dma", ["dmabuf"]],
];

/** Lines with the name of a file in another folder or with a blank, and what the shell makes of them. */
const fileLines: readonly (readonly [string, string])[] = [
  ["framepass receiver -o pictures/in", "pictures/inside.y4m"],
  ["framepass receiver --output=pictures/in", "--output=pictures/inside.y4m"],
  ["framepass share create pictures/in", "pictures/inside.y4m"],
  ["framepass install --prefix=pictures/de", "--prefix=pictures/deep"],
  ["framepass receiver -o two\\ w", "two\\ words.y4m"],
  ["framepass receiver -o two\\ words.y4m --no", "--no-clobber"],
];

let completed: readonly CompletedTool[] = [];
const temp = new TempDir();

beforeAll(async () => {
  ensureDebian(["bash", "zsh", "fish"].map((name) => ({ package: name, provides: name })));
  mkdirSync(temp.file("pictures/deep"), { recursive: true });
  for (const name of [
    "film.y4m",
    "tennis.y4m",
    "video0",
    "video1",
    "two words.y4m",
    "pictures/inside.y4m",
  ])
    writeFileSync(temp.file(name), "");
  const texts = await Promise.all(tools.map((tool) => tool.load()));
  completed = [...texts, probe(temp.path)].map((tool) => completedTool(tool, true));
}, 600_000);

afterAll(() => temp[Symbol.dispose]());

test("bash completes tools, options, formats, devices, files and folders", async () => {
  const file = temp.file("framepass.bash");
  writeFileSync(file, bashCompletion(completed));
  const asked = questions(temp.path);
  const lines = asked.map(([line]) => line);
  const found = await askShell("bash", `source ${file}`, lines, temp.path);
  for (const [index, [line, wanted]] of asked.entries()) {
    // The first candidate continues the line, the others follow it; a common beginning up to ":" stands once.
    const candidates = (found[index] ?? "").slice(line.replace(/[^ =:]*$/, "").length).trim();
    const before = /[^ =]*:$/.exec(line.replace(/[^:]*$/, ""))?.[0] ?? "";
    const words = candidates.split(" ").filter((word) => word !== "");
    expect([line, words.map((word) => before + word).sort()]).toEqual([line, [...wanted].sort()]);
  }
});

test("bash completes files of other folders, and with a blank in the name", async () => {
  const file = temp.file("framepass.bash");
  writeFileSync(file, bashCompletion(completed));
  const lines = fileLines.map(([line]) => line);
  // Settings that break a completion that relies on the usual ones.
  const setup = `source ${file}; shopt -s failglob; set -u; IFS=:`;
  const device = "framepass sender -d testsrc:b";
  const found = await askShell("bash", setup, [...lines, device], temp.path);
  expect(found.pop()?.trimEnd()).toBe(`${device}ars`);
  for (const [index, [line, wanted]] of fileLines.entries()) {
    const before = line.replace(/(?:\\ |[^ ])*$/, "");
    expect([line, found[index]?.trimEnd()]).toEqual([line, before + wanted]);
  }
});

test("zsh completes the same", async () => {
  mkdirSync(temp.file("functions"));
  writeFileSync(temp.file("functions/_framepass"), zshCompletion(completed));
  const asked = questions(temp.path);
  const lines = asked.map(([line]) => line);
  const setup = `fpath=(${temp.file("functions")} $fpath)`;
  const found = await askShell("zsh", setup, lines, temp.path);
  for (const [index, [line, wanted]] of asked.entries()) {
    const words = [...new Set((found[index] ?? "").split(" "))].filter((word) => word !== "");
    const ends = wanted.map((word) => word.replace(/.*,/, "")); // zsh keeps the list as it was typed
    expect([line, words.sort()]).toEqual([line, ends.sort()]);
  }
});

test("fish completes the same", () => {
  const sender = completed.find(({ name }) => name === "sender");
  if (sender === undefined) throw new Error("there is a sender");
  writeFileSync(temp.file("a.fish"), fishCompletion(completed));
  writeFileSync(temp.file("b.fish"), fishLinkCompletion(sender));
  const asked = [
    ...questions(temp.path),
    ...fileLines.map(([line, wanted]) => [line, [wanted.replace("\\", "")]] as const),
  ];
  const script = [
    `source ${temp.file("a.fish")}`,
    `source ${temp.file("b.fish")}`,
    ...asked.flatMap(([line]) => [`complete -C '${line}'`, "echo ---"]),
  ].join("\n");
  const child = Bun.spawnSync(["fish", "--no-config", "-c", script], {
    cwd: temp.path,
    env: { PATH: process.env.PATH, HOME: temp.path, LC_ALL: "C" },
    timeout: 30_000,
  });
  expect(child.stderr.toString()).toBe("");
  const answers = child.stdout.toString().split("---\n");
  for (const [index, [line, wanted]] of asked.entries()) {
    const words = (answers[index] ?? "").split("\n").filter((word) => word !== "");
    const option = /^--[a-z]+=/; // fish repeats it
    const names = words.map((word) => (word.split("\t")[0] ?? "").replace(option, ""));
    expect([line, names.map((name) => name.replace(/\/$/, "")).sort()]).toEqual([
      line,
      wanted.map((word) => word.replace(option, "")).sort(),
    ]);
  }
});

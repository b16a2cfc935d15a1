import { describe, expect, test } from "bun:test";
import { parseOptions } from "../../src/cli/parse-options.ts";
import { distance, nearest } from "../../src/cli/suggest.ts";

describe("a misspelled word is answered with the nearest candidate", () => {
  const names = ["sender", "receiver", "receiver_sdl", "receiver_zc", "devices", "share"];
  test.each([
    ["recever", "receiver"],
    ["Sender", "sender"],
    ["receiver-sld", "receiver_sdl"],
    ["sned", undefined],
    ["sen", "sender"],
    ["dev", "devices"],
    ["rec", undefined],
    ["camera", undefined],
    ["", undefined],
  ])("%p: %p", (word, meant) => expect(nearest(word, names)).toBe(meant));
});

test.each([
  ["", "abc", 3],
  ["abc", "abc", 0],
  ["abc", "acb", 1],
  ["abc", "ac", 1],
  ["kitten", "sitting", 3],
])("typos between %p and %p: %p", (a, b, typos) => {
  expect(distance(a, b)).toBe(typos);
  expect(distance(b, a)).toBe(typos);
});

/** The error of a command line. */
function refusal(argv: readonly string[]): string {
  const options = {
    width: { short: "W", type: "integer", min: 1, max: 9, help: "" },
    device: {
      type: "text",
      completes: { words: ["testsrc"], globs: ["/dev/video*"] },
      help: "",
    },
    prefix: { type: "text", completes: { files: "folders" }, help: "" },
    memory: { type: "choice", choices: ["auto", "dmabuf", "mmap"], default: "auto", help: "" },
  } as const;
  try {
    parseOptions(options, argv);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

test.each([
  ["--widht=3", 'unknown option "--widht"; you probably meant --width'],
  ["-w", 'unknown option "-w"; you probably meant -W'],
  ["--nonsense", 'unknown option "--nonsense"'],
  ["--memory=dma-buf", 'must be auto, dmabuf, mmap, got "dma-buf"; you probably meant dmabuf'],
  ["--memory=userptr", '--memory must be auto, dmabuf, mmap, got "userptr"'],
  ["surplus", 'unexpected word "surplus"'],
  ["127.0.0.1", 'unexpected word "127.0.0.1"'],
  ["/dev/video5", 'unexpected word "/dev/video5"; you probably meant --device /dev/video5'],
  ["testsrc", '"testsrc"; you probably meant --device testsrc'],
  ["mmap", '"mmap"; you probably meant --memory mmap'],
  ["/opt/it's", "; you probably meant --prefix '/opt/it'\\''s'"],
  [import.meta.dir, `; you probably meant --prefix ${import.meta.dir}`],
])("%s is refused, with what was probably meant", (word, text) => {
  expect(refusal([word])).toEndWith(text);
});

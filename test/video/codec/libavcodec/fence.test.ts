// A process inside the fence decodes as outside, and every way out that its table names is closed.
import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { Clips, clipKinds, referenceSums } from "../../../support/clips.ts";
import type { FenceReport } from "../../../support/fenced-program.ts";

const clips = new Clips();

const [h264, hevc] = ["H.264 10 bit", "HEVC main"].map((name) => {
  const kind = clipKinds.find((row) => row.name === name);
  if (kind === undefined) throw new Error(`no clip ${name}`);
  return { clip: clips.get(kind), expected: referenceSums(clips.get(kind), kind).nv12 };
});

const program = resolve(import.meta.dir, "../../../support/fenced-program.ts");
const run = Bun.spawnSync(
  [process.execPath, program, h264?.clip.path ?? "", hevc?.clip.path ?? ""],
  { timeout: 20_000 },
);
const report = (): FenceReport => JSON.parse(run.stdout.toString());

test("a process inside the fence ends by itself and complains about nothing", () => {
  expect(run.stderr.toString()).toBe("");
  expect(run.exitCode).toBe(0);
  expect(report().fenced).toBe(true);
});

test("inside the fence decoders are opened and pictures are the same, with threads as well", () => {
  const { sums } = report();
  expect(sums.h264).toEqual([...(h264?.expected ?? [])]);
  expect(sums.hevc).toEqual([...(hevc?.expected ?? [])]);
});

test("every call of the table is denied", () => {
  const answers = new Set(Object.values(report().denied));
  expect(Object.keys(report().denied).length).toBeGreaterThan(80);
  expect([...answers]).toEqual(["EPERM"]);
});

test("files, the network, other processes and programs are out of reach", () => {
  const {
    "start a process by clone3": clone3,
    "signal itself": self,
    ...others
  } = report().attempts;
  expect(Object.values(others)).toEqual(Object.keys(others).map(() => "EPERM"));
  expect(clone3).toBe("ENOSYS"); // the C library then uses clone, whose flags the filter can read
  expect(self).toBe("answered 0");
});

test("a process that has less priority already keeps it: it may not ask for more", () => {
  const fence = resolve(import.meta.dir, "../../../../src/video/codec/libavcodec/fence.ts");
  const script = `import { getPriority } from "node:os";
    import { enterFence } from ${JSON.stringify(fence)};
    enterFence();
    console.log(getPriority());`;
  const nice = Bun.spawnSync(["nice", "-n", "10", process.execPath, "-e", script]);
  expect([nice.stdout.toString(), nice.stderr.toString()]).toEqual(["10\n", ""]);
});

test("a decoder has less priority than the process that serves the rings", () => {
  expect(report().niceness).toBe(5);
});

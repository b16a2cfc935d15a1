// Which outputs each of several senders gets. Cameras are opened by a stand-in: a host without V4L2 has none.
import { expect, test } from "bun:test";
import { UsageError } from "../../src/errors.ts";
import type { Loop } from "../../src/loop.ts";
import type { OutputWishes } from "../../src/output/open-outputs.ts";
import { SenderDestinations } from "../../src/stream/sender-destinations.ts";
import { quiet } from "../support/camera-options.ts";
import { onLoop } from "../support/loop.ts";
import { never } from "../support/streams.ts";
import { TempDir } from "../support/tool.ts";

quiet();

/** Destinations of `senders` senders, and what was opened: paths and cameras. */
function destinationsFor(
  loop: Loop,
  paths: readonly string[],
  { senders = 2, cameras = [] }: { senders?: number; cameras?: readonly string[] } = {},
) {
  const opened: [paths: readonly string[], cameras: readonly string[]][] = [];
  const by = {
    isVideoDevice: (path: string) => path.startsWith("/dev/video"),
    openOutputs: (_loop: Loop, wishes: OutputWishes) => {
      opened.push([wishes.paths, wishes.cameras]);
      return Promise.resolve({ files: [], cameras: [] });
    },
  };
  const camera = {} as OutputWishes["camera"];
  const wishes = { paths, files: {}, cameras, camera, senders, verify: false, json: false };
  return { destinations: new SenderDestinations(loop, wishes, by), opened };
}

test("sender n gets the nth node and the nth camera, which are opened before a sender comes", () =>
  onLoop(async (loop) => {
    const nodes = ["/dev/video10", "/dev/video11"];
    const { destinations, opened } = destinationsFor(loop, nodes, { cameras: ["A", "B"] });
    using _destinations = destinations;
    await destinations.prepare(never);
    expect(opened).toEqual([
      [["/dev/video10"], ["A"]],
      [["/dev/video11"], ["B"]],
    ]);
  }));

test("a name with %n is for every sender, as a file, a node or a camera", () =>
  onLoop(async (loop) => {
    using temp = new TempDir();
    const paths = ["/dev/video1%n", temp.file("%n-%a.raw")];
    const { destinations, opened } = destinationsFor(loop, paths, { cameras: ["Guest %n"] });
    using _destinations = destinations;
    await destinations.prepare(never);
    expect(opened.splice(0)).toEqual([
      [["/dev/video11"], ["Guest 1"]],
      [["/dev/video12"], ["Guest 2"]],
    ]);
    await destinations.openFiles(2, { host: "fe80::1%2", again: false, fps: 0 }, never);
    expect(opened).toEqual([[[temp.file("2-fe80--1-2.raw")], []]]);
  }));

test("one sender may have several outputs without %n", () =>
  onLoop(async (loop) => {
    const paths = ["/dev/video10", "/dev/video11", "film"];
    const { destinations, opened } = destinationsFor(loop, paths, { senders: 1 });
    using _destinations = destinations;
    await destinations.prepare(never);
    await destinations.openFiles(1, { host: "a", again: false, fps: 0 }, never);
    expect(opened).toEqual([
      [["/dev/video10", "/dev/video11"], []],
      [["film"], []],
    ]);
  }));

test.each([
  [
    ["/dev/video10"],
    "--output: sender n gets the nth of the video devices: 2 senders need 2, got 1",
  ],
  [["/dev/video10", "/dev/video10"], "--output /dev/video10 is given twice"],
  [["/dev/video11", "/dev/video12", "/dev/video1%n"], "--output /dev/video11 is given twice"],
] as const)("nodes %p are refused: %s", (paths, text) =>
  onLoop((loop) => {
    expect(() => destinationsFor(loop, paths)).toThrow(UsageError);
    expect(() => destinationsFor(loop, paths)).toThrow(text);
    return Promise.resolve();
  }),
);

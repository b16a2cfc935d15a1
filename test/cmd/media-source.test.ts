// What --device and --listen of vhost-user-media become: the offers of each source, and what is refused at the start.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { openMediaSource } from "../../cmd/media-source.ts";
import { openMediaStream, wantsStream } from "../../cmd/media-stream.ts";
import { UnavailableError, UsageError } from "../../src/errors.ts";
import { fourccName } from "../../src/format/formats.ts";
import type { MediaSource } from "../../src/media/media-source.ts";
import { TempDir } from "../support/tool.ts";

const all = { formats: undefined, controls: true };

const offersOf = ({ offers }: MediaSource) =>
  offers.map(({ pixelformat, sizes }) => {
    const [first] = sizes;
    const [rate] = first?.intervals ?? [];
    return `${fourccName(pixelformat)} ${first?.width}x${first?.height} ${rate?.numerator}/${rate?.denominator}`;
  });

test("a recording is offered in its size and at its rate, its own format first", () => {
  using temp = new TempDir();
  const path = temp.file("film.y4m");
  const picture = `FRAME\n${"\0".repeat(32 * 16 * 2)}`;
  writeFileSync(path, `YUV4MPEG2 W32 H16 F25:1 C422\n${picture}${picture}`);
  using source = openMediaSource(path, all);
  expect(offersOf(source)).toEqual(["YUYV 32x16 1/25", "NV12 32x16 1/25", "YU12 32x16 1/25"]);
});

test("--formats chooses formats and their order", () => {
  using source = openMediaSource("testsrc", { ...all, formats: ["NV12", "YUYV"] });
  expect(offersOf(source)).toEqual(["NV12 640x480 1/30", "YUYV 640x480 1/30"]);
  expect(() => openMediaSource("testsrc", { ...all, formats: ["H264"] })).toThrow(
    "--formats H264: testsrc has YUYV, NV12, YU12",
  );
});

test.each([
  ["stdin", "-", UsageError],
  ["a recording that is not there", "/no/film.y4m", UnavailableError],
  ["a camera that is not there", "/dev/video-none", UnavailableError],
])("%s is refused at the start", (_, device, kind) => {
  expect(() => openMediaSource(device, all)).toThrow(kind);
});

const listen = (more = {}, given: readonly string[] = []) => ({
  listen: undefined,
  port: undefined,
  allow: [],
  "stall-timeout": 10,
  "max-frame": 1 << 26,
  "zero-copy": false,
  given: new Set(given),
  ...more,
});

test("the stream of a sender is wanted with --listen or --port, and not together with --device", () => {
  expect(wantsStream(listen())).toBe(false);
  expect(wantsStream(listen({ port: 5000 }))).toBe(true);
  expect(wantsStream(listen({ listen: "unix:/x" }))).toBe(true);
  expect(() => wantsStream(listen({ port: 5000 }, ["device"]))).toThrow("--device and --listen");
  expect(() => wantsStream(listen({}, ["zero-copy"]))).toThrow("--zero-copy is for");
});

test("the process of a front-end is given the same stream, with paths that work in every folder", () => {
  const { words } = openMediaStream(
    listen({ listen: "unix:frames", "zero-copy": true, allow: ["10.0.0.0/8"] }),
    undefined,
  );
  expect(words).toEqual([
    ...["--listen", `unix:${process.cwd()}/frames`, "--allow", "10.0.0.0/8"],
    ...["--stall-timeout", "10", "--max-frame", `${1 << 26}`, "--zero-copy"],
  ]);
});

test("--zero-copy over TCP is refused: descriptors do not pass there", () => {
  expect(() => openMediaStream(listen({ port: 5000, "zero-copy": true }), undefined)).toThrow(
    "--zero-copy needs --listen unix:/path",
  );
});

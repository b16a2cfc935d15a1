// Which decoder `--backend auto` takes.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { errno, SysError } from "../../../ffi/errno.ts";
import { UnavailableError } from "../../../src/errors.ts";
import type { NodeHost } from "../../../src/v4l2/find-node.ts";
import { chooseCodec, openChosen } from "../../../src/video/codec/choose.ts";
import { readCodecOptions } from "../../../src/video/codec/codec-options.ts";
import { codec, FakeNode, type FakeNodeOptions, webcam } from "../../support/fake-node.ts";
import { TempDir } from "../../support/tool.ts";

/** A host with these nodes, /dev/video0 first. */
function hostWith(temp: TempDir, ...nodes: readonly FakeNodeOptions[]): NodeHost {
  for (const number of nodes.keys()) writeFileSync(temp.file(`video${number}`), "");
  return {
    directory: temp.path,
    open(path) {
      const options = nodes[Number(path.slice(-1))];
      if (options === undefined) throw new SysError("open", path, errno.ENOENT);
      return new FakeNode(options, path);
    },
  };
}

test("auto takes the decoder that is named, whatever the host has", () => {
  using temp = new TempDir();
  expect(chooseCodec("/dev/video5", hostWith(temp))).toEqual({
    backend: "v4l2-decoder",
    device: "/dev/video5",
    because: "--v4l2-device names a decoder",
  });
});

test("auto takes the first node that decodes, and says which", () => {
  using temp = new TempDir();
  const host = hostWith(temp, webcam(), codec("encoder"), codec("decoder"), codec("decoder"));
  const device = temp.file("video2");
  expect(chooseCodec(undefined, host)).toEqual({
    backend: "v4l2-decoder",
    device,
    because: `${device} is a V4L2 decoder`,
  });
});

test("auto takes libavcodec where cameras and encoders are all that there is", () => {
  using temp = new TempDir();
  expect(chooseCodec(undefined, hostWith(temp, webcam(), codec("encoder")))).toMatchObject({
    backend: "libavcodec",
    because: "no V4L2 decoder was found on this host",
  });
});

test("where auto finds neither decoder, the error names both ways to get one", () => {
  using temp = new TempDir();
  const choice = chooseCodec(undefined, hostWith(temp, webcam()));
  const missing = () => {
    throw new UnavailableError("libavcodec not found; install libavcodec59");
  };
  expect(() => openChosen(choice, missing)).toThrow(
    "no V4L2 decoder was found on this host; libavcodec not found; install libavcodec59, or name a decoder with --v4l2-device",
  );
});

test.each([
  ["vicodec", "vicodec"],
  ["2", "2"],
  ["usb-decoder-video-index0", "usb-decoder-video-index0"],
  ["/dev/null", "/dev/null"],
  ["package.json", resolve("package.json")],
])("the process of a front-end, in another folder, finds the decoder %s", (device, word) => {
  const program = { file: "vhost-user-video", words: [], name: "vhost-user-video" };
  const given = { backend: "v4l2-decoder", threads: 1, formats: undefined };
  const size = { "max-picture": "4096x2304" };
  const { words } = readCodecOptions(
    { ...given, ...size, "v4l2-device": device, given: new Set() },
    program,
  );
  expect(words.slice(words.indexOf("--v4l2-device"))).toEqual(["--v4l2-device", word]);
});

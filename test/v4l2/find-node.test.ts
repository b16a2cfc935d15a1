// Devices by node, by-id name or card name, on a /dev of the test; the nodes answer as uvcvideo, vivid and vicodec do.
import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { errno, SysError } from "../../ffi/errno.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { UnavailableError } from "../../src/errors.ts";
import { findNode, linksTo, type NodeHost, videoNodes } from "../../src/v4l2/find-node.ts";
import { abilitiesOf, allKinds, type Kind } from "../../src/v4l2/kinds.ts";
import {
  codec,
  FakeNode,
  type FakeNodeOptions,
  sink,
  vivid,
  webcam,
} from "../support/fake-node.ts";
import { TempDir } from "../support/tool.ts";

class Host extends TempDir implements NodeHost {
  readonly directory = this.path;
  readonly opened: FakeNode[] = [];
  readonly #nodes: readonly (FakeNodeOptions | undefined)[];

  /** Nodes by their number; undefined for one that cannot be opened. */
  constructor(...nodes: readonly (FakeNodeOptions | undefined)[]) {
    super();
    this.#nodes = nodes;
    for (const number of nodes.keys()) writeFileSync(this.file(`video${number}`), "");
  }

  readonly open = (path: string) => {
    const options = this.#nodes[Number(basename(path).slice(5))];
    if (options === undefined) throw new SysError("open", path, errno.EBUSY);
    const node = new FakeNode(options, path);
    this.opened.push(node);
    return node;
  };

  link(directory: string, name: string, number: number): void {
    mkdirSync(join(this.path, "v4l", directory), { recursive: true });
    symlinkSync(`../../video${number}`, join(this.path, "v4l", directory, name));
  }
}

test("nodes are listed by their numbers, and other entries of /dev are not", () => {
  using host = new Host();
  for (const name of ["video10", "video9", "video", "videoX", "vbi0"]) {
    writeFileSync(host.file(name), "");
  }
  expect(videoNodes(host.directory).map((path) => basename(path))).toEqual(["video9", "video10"]);
  expect(videoNodes(host.file("none"))).toEqual([]);
});

test("a device is found by its path, number, by-id name, by-path name and card name", () => {
  using host = new Host(codec("decoder"), webcam());
  host.link("by-id", "usb-046d_HD_Pro_Webcam_C920-video-index0", 1);
  host.link("by-path", "pci-0000:00:14.0-usb-0:1:1.0-video-index0", 1);
  const wanted = host.file("video1");
  const find = (name: string, kinds: readonly Kind[] = ["camera"]) => findNode(name, kinds, host);
  for (const name of [wanted, "video1", "1", "HD Pro Webcam C920"]) expect(find(name)).toBe(wanted);
  const byId = find("usb-046d_HD_Pro_Webcam_C920-video-index0");
  expect(byId).toBe(host.file("v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0"));
  expect(find("pci-0000:00:14.0-usb-0:1:1.0-video-index0")).toContain("/v4l/by-path/pci-");
  expect(find("vicodec", ["decoder"])).toBe(host.file("video0"));
  expect(linksTo(wanted, host.directory)).toEqual({
    byId: ["usb-046d_HD_Pro_Webcam_C920-video-index0"],
    byPath: ["pci-0000:00:14.0-usb-0:1:1.0-video-index0"],
  });
  expect(host.opened.every(({ closed }) => closed)).toBe(true);
});

test("a name without a device stays as it is, so that opening it says what is missing", () => {
  using host = new Host(webcam(), undefined);
  for (const name of ["Nonesuch", "/dev/nonesuch", "./x", "../../video0", "video7", "7x", ""])
    expect(findNode(name, ["camera"], host)).toBe(name);
  expect(findNode("9", ["camera"], host)).toBe("9");
});

test("a card with several cameras is refused with their nodes, and other kinds of node do not count", () => {
  // uvcvideo has a node for metadata with the same card.
  const metadata = { ...webcam(), flags: v.V4L2_CAP_META_CAPTURE, formats: {} };
  using one = new Host(metadata, webcam());
  expect(findNode("HD Pro Webcam C920", ["camera"], one)).toBe(one.file("video1"));
  using two = new Host(webcam(), metadata, webcam());
  const find = () => findNode("HD Pro Webcam C920", ["camera"], two);
  expect(find).toThrow(UnavailableError);
  expect(find).toThrow(`${two.file("video0")}, ${two.file("video2")}; name one of them`);
});

test("vicodec has three nodes of one card, and a decoder is wanted: the stateful one is taken", () => {
  using host = new Host(codec("encoder"), codec("stateless decoder"), codec("decoder"));
  expect(findNode("vicodec", ["decoder"], host)).toBe(host.file("video2"));
  expect(() => findNode("vicodec", allKinds, host)).toThrow("name one of them");
});

test.each([
  [webcam(), ["camera"]],
  [vivid(), ["camera"]],
  [sink(), ["output"]],
  [codec("encoder"), ["encoder"]],
  [codec("decoder"), ["decoder"]],
  [codec("stateless decoder"), ["stateless decoder"]],
  [{ ...codec("encoder"), formats: {} }, ["converter"]],
  [{ ...vivid(), flags: v.V4L2_CAP_VIDEO_CAPTURE_MPLANE }, ["camera"]],
  [{ ...vivid(), flags: v.V4L2_CAP_VIDEO_CAPTURE | v.V4L2_CAP_VIDEO_OUTPUT }, ["camera", "output"]],
  [{ ...vivid(), flags: v.V4L2_CAP_META_OUTPUT }, ["metadata"]],
  [{ ...vivid(), flags: 0 }, ["other"]],
] as [FakeNodeOptions, Kind[]][])("node %#: what it can do", (options, kinds) => {
  expect(abilitiesOf(new FakeNode(options), options.flags).kinds).toEqual(kinds);
});

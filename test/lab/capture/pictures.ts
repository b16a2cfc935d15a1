// The picture that arrives is the one v4l2-ctl captures, byte for byte. vivid's picture does not move, so
// every frame must equal it.

import { join } from "node:path";
import { pixelFormatNamed } from "../../../src/format/formats.ts";
import { layoutOf } from "../../../src/format/picture-layout.ts";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { startReceiver, Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const frames = 8;
const width = 640;
const height = 480;

interface Case {
  readonly title: string;
  readonly device: number;
  readonly format: string;
  /** The format on the wire, where it differs. */
  readonly sentAs?: string;
  /** The sender's -m. */
  readonly wish: "auto" | "dmabuf" | "mmap";
  /** The memory that the frames are in with it. */
  readonly memory: "dmabuf" | "mmap";
  /** Bytes from row to row, plane by plane, set beforehand; without it rows have no padding. */
  readonly strides?: readonly number[];
  /** Text that the sender must print. */
  readonly says?: string;
}

const heap = { wish: "dmabuf", memory: "dmabuf" } as const;
const auto = { wish: "auto", memory: "dmabuf" } as const;
const mapped = { wish: "mmap", memory: "mmap" } as const;

const cases: readonly Case[] = [
  { title: "YUYV in DMA heap buffers", device: 0, format: "YUYV", ...heap },
  { title: "YUYV in the driver's buffers", device: 0, format: "YUYV", ...mapped },
  {
    title: "YUYV of a driver that refuses our buffers at QBUF",
    device: 1,
    format: "YUYV",
    wish: "auto",
    memory: "mmap",
    says: "VIDIOC_QBUF /dev/video1 (DMABUF): EFAULT",
  },
  { title: "NV12", device: 0, format: "NV12", ...auto },
  { title: "YU12", device: 0, format: "YU12", ...auto },
  { title: "RGB3", device: 0, format: "RGB3", ...auto },
  { title: "YUYV with padded rows", device: 0, format: "YUYV", ...auto, strides: [1408] },
  { title: "NV12 with padded rows", device: 0, format: "NV12", ...mapped, strides: [704, 704] },
  {
    title: "YU12 with padded rows",
    device: 1,
    format: "YU12",
    ...mapped,
    strides: [704, 352, 352],
  },
  { title: "YUYV of a multi-planar device", device: 2, format: "YUYV", ...auto },
  { title: "NM12, sent as NV12", device: 2, format: "NM12", sentAs: "NV12", ...auto },
  {
    title: "NM12 with each plane padded in its own way",
    device: 2,
    format: "NM12",
    sentAs: "NV12",
    ...heap,
    strides: [704, 768],
  },
  { title: "YM12, sent as YU12", device: 2, format: "YM12", sentAs: "YU12", ...mapped },
];

export async function checkPictures(lab: Lab, guest: Guest): Promise<void> {
  for (const one of cases) await lab.check(`${one.title}, frame by frame`, () => run(guest, one));
}

async function run(guest: Guest, one: Case): Promise<void> {
  const { device, format, strides, sentAs = format } = one;
  const rows = pixelFormatNamed(sentAs);
  if (rows === undefined) throw new Error(`${sentAs} is not in the table of formats`);
  const planes = layoutOf(rows, width, height);
  const tight = planes.map(({ rowBytes }) => rowBytes);
  // One value counts for all planes of a single-planar device.
  const asked = device === 2 ? (strides ?? []) : (strides ?? []).slice(0, 1);
  const padding = asked.map((bytes) => `,bytesperline=${bytes}`).join("");
  const size = `width=${width},height=${height},pixelformat=${format}${padding}`;
  await guest.ok(
    `rm -f captured received
     v4l2-ctl -d${device} --set-fmt-video=${size} --stream-mmap --stream-count=1 --stream-to=captured`,
  );
  const receiver = await startReceiver(guest, "-p 5000 -o received");
  const words = `-d /dev/video${device} -f ${format} -m ${one.wish} -r 60 -n ${frames}`;
  const sender = await new Tool(guest, `sender -a 127.0.0.1 -p 5000 ${words}`).end();
  const { started, status } = await receiver.end();
  wanted("exit status of the sender", sender.status, 0);
  wanted("exit status of the receiver", status, 0);
  wanted("memory", sender.started.memory, one.memory);
  wanted("rate", sender.started.fps, 60);
  wanted("format in the hello", started.format, sentAs);
  wanted("size in the hello", `${started.width}x${started.height}`, `${width}x${height}`);
  if (one.says !== undefined && !sender.lines.some((line) => line.includes(one.says ?? ""))) {
    throw new Error(`not said: ${one.says}`);
  }
  const captured = await Bun.file(join(guest.share, "captured")).bytes();
  const picture = withoutPadding(captured, planes, strides ?? tight);
  wanted("bytes a frame in the hello", started.sizeimage, picture.length);
  if (picture.every((byte) => byte === picture[0])) throw new Error("the camera shows nothing");
  const received = await Bun.file(join(guest.share, "received")).bytes();
  wanted("bytes received", received.length, frames * picture.length);
  for (let i = 0; i < frames; i++) {
    const frame = received.subarray(i * picture.length, (i + 1) * picture.length);
    const at = frame.findIndex((byte, n) => byte !== picture[n]);
    if (at >= 0) throw new Error(`frame ${i}: byte ${at} is ${frame[at]}, not ${picture[at]}`);
  }
}

/** Removes the padding from rows of `strides` bytes. */
function withoutPadding(
  captured: Uint8Array,
  planes: readonly { readonly rowBytes: number; readonly rows: number }[],
  strides: readonly number[],
): Uint8Array {
  const rows: Uint8Array[] = [];
  let at = 0;
  for (const [i, plane] of planes.entries()) {
    const stride = strides[i] ?? plane.rowBytes;
    for (let y = 0; y < plane.rows; y++, at += stride) {
      rows.push(captured.subarray(at, at + plane.rowBytes));
    }
  }
  wanted("bytes captured by v4l2-ctl", captured.length, at);
  return Buffer.concat(rows);
}

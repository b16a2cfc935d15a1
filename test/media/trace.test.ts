// Replays the commands of a recording to the device: the Linux driver's probe, v4l2-ctl --all, --list-formats-ext, and a stream of 30
// frames. Compared are status, length and every byte of the answers, except what a device may choose: session numbers, handles and
// places of buffers, and the description of formats, which the recorded device did not have as the kernel has it.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "../../ffi/linux/videodev2.ts";
import { fourccName } from "../../src/format/formats.ts";
import { ioctlRows } from "../../src/media/ioctls.ts";
import * as p from "../../src/media/protocol.ts";
import { MediaDriver, statusOf } from "../support/media-driver.ts";

interface Recorded {
  readonly name: "OPEN" | "CLOSE" | "IOCTL" | "MMAP" | "MUNMAP";
  readonly session: number;
  readonly status: number;
  /** Bytes of the answer. */
  readonly out: number;
  readonly r: readonly number[];
  readonly w: readonly number[];
  readonly ioctl?: string;
  /** Hexadecimal, without the zeros at the end. */
  readonly in?: string;
  readonly ret?: string;
  readonly offset?: number;
  readonly flags?: number;
  readonly at?: number;
}

const records: Recorded[] = readFileSync(
  join(import.meta.dir, "traces/probe-and-stream.jsonl"),
  "utf8",
)
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

/** Numbers of the ioctls in the recording that the device does not have. */
const others: Readonly<Record<string, number>> = {
  G_TUNER: 29,
  G_FREQUENCY: 56,
  G_AUDIO: 33,
  G_STD: 23,
  G_DV_TIMINGS: 87,
  DV_TIMINGS_CAP: 100,
};
const numbers = new Map<string, number>([
  ...Object.entries(others),
  ...ioctlRows.map(({ ioctl }) => [ioctl.name.slice("VIDIOC_".length), ioctl.code & 0xff] as const),
]);

const hexOf = (text: string, length: number) => text.padEnd(2 * length, "0").slice(0, 2 * length);
const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** The bytes of an answer that a device may choose, by ioctl: from, to. */
const chosen: Readonly<Record<string, readonly [number, number]>> = {
  ENUM_FMT: [12, 44],
  QUERYBUF: [64, 68],
  QBUF: [64, 68],
};

function masked(ioctl: string, bytes: Uint8Array): string {
  const copy = new Uint8Array(bytes);
  const [from, to] = chosen[ioctl] ?? [0, 0];
  copy.fill(0, from, to);
  return Buffer.from(copy).toString("hex");
}

test("the recorded guest gets the recorded answers, byte for byte", () => {
  using driver = new MediaDriver();
  const sessions = new Map<number, number>();
  /** Handles and places of buffers: the recorded ones, and ours. */
  const handles = new Map<number, number>();
  const places: bigint[] = [];
  let streaming = false;
  let compared = 0;
  for (const record of records) {
    const { name, status, out, r, w } = record;
    const session = sessions.get(record.session) ?? 0;
    const room = w.reduce((sum, length) => sum + length, 0);
    if (name === "OPEN") {
      sessions.set(record.session, driver.open());
    } else if (name === "CLOSE") {
      expect(driver.close(session).reply?.length).toBe(0);
    } else if (name === "MMAP") {
      const sent = driver.mmap(session, handles.get(record.offset ?? 0) ?? -1, record.flags);
      expect(statusOf(sent)).toBe(status);
      const answer = sent.as(p.mmapAnswer);
      expect(answer.len).toBe(614_400n);
      places.push(answer.driver_addr);
    } else if (name === "MUNMAP") {
      expect(driver.munmap(places[(record.at ?? 0) / 614_400] ?? -1n)).toBe(status);
    } else {
      const { ioctl = "", in: given = "", ret = "" } = record;
      const [head = 0, payload = 0] = r;
      const bytes = new Uint8Array(new ArrayBuffer(head + payload));
      const command = p.ioctlCommand.over(bytes);
      p.header.over(bytes).cmd = p.IOCTL;
      command.session_id = session;
      command.code = numbers.get(ioctl) ?? 0;
      bytes.set(unhex(hexOf(given, payload)), head);
      if (ioctl === "QBUF" && streaming) driver.source.show(1); // the event that the guest has read by now
      const sent = driver.raw(bytes, room);
      const where = `${ioctl} in ${given}`;
      expect(statusOf(sent), where).toBe(status);
      const reply = sent.reply ?? new Uint8Array();
      expect(reply.length, where).toBe(out);
      if (out > 8) {
        const wanted = masked(ioctl, unhex(hexOf(ret, out - 8)));
        expect(masked(ioctl, reply.subarray(8)), where).toBe(wanted);
        compared += 1;
      }
      if (ioctl === "QUERYBUF") {
        const recorded = v.v4l2Buffer.over(new Uint8Array(unhex(hexOf(ret, 88))));
        const ours = v.v4l2Buffer.over(new Uint8Array(reply.slice(8)));
        handles.set(recorded["m.offset"], ours["m.offset"]);
      }
      if (ioctl === "STREAMON") streaming = true;
      if (ioctl === "STREAMOFF") streaming = false;
    }
  }
  expect(compared).toBe(70);
  expect(driver.frames.length).toBe(30);
  expect(driver.complaints).toEqual([]);
  expect(driver.region.mapped.size).toBe(0);
});

test("formats are described as the kernel describes them", () => {
  using driver = new MediaDriver();
  const session = driver.open();
  const found: string[] = [];
  for (let index = 0; ; index++) {
    const { status, q } = driver.ioctl(session, v.VIDIOC_ENUM_FMT, (wish) => {
      wish.index = index;
      wish.type = v.V4L2_BUF_TYPE_VIDEO_CAPTURE;
    });
    if (status !== 0) break;
    found.push(`${fourccName(q.pixelformat)} ${q.description}`);
  }
  expect(found).toEqual(["YUYV YUYV 4:2:2", "NV12 Y/UV 4:2:0"]);
});

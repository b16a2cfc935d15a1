// A receiver that stops reading for a while: by default every frame that the camera has captured by then
// still arrives, with --latest only the newest. A plain nc receives, so the bytes of the wire are checked.

import { join } from "node:path";
import type { Guest } from "../guest.ts";
import type { Lab } from "../lab.ts";
import { Tool } from "../tool.ts";
import { wanted } from "../wanted.ts";

const helloBytes = 28;
const headerBytes = 40;
/** 640x480 GREY: more than the socket buffers hold, and not too much for nc. */
const frameBytes = 640 * 480;
const fps = 5;
const stallMs = 2000;

interface Header {
  readonly sequence: number;
  /** When it was captured; the guest's clock. */
  readonly seconds: number;
}

interface Stalled {
  readonly headers: readonly Header[];
  /** The sender's own count. */
  readonly drops: number;
  /** When the receiver stopped and when it continued; the guest's clock. */
  readonly from: number;
  readonly to: number;
}

export async function checkLatest(lab: Lab, guest: Guest): Promise<void> {
  await guest.ok("for f in rmem wmem; do echo 4096 16384 65536 >/proc/sys/net/ipv4/tcp_$f; done");
  await lab.check("after a stall all frames captured by then arrive, in order", async () => {
    const stalled = await stall(guest, "");
    wanted("frames dropped before the first", checkOrder(stalled), 0);
    // One was in flight, three were in the camera's other buffers.
    if (lastBefore(stalled) > 2.5 / fps) return;
    throw new Error(`the last one is ${lastBefore(stalled)} s younger than the stall`);
  });
  await lab.check("with --latest a stall is followed by the newest frame", async () => {
    const stalled = await stall(guest, "--latest");
    checkOrder(stalled);
    // A busy machine wakes the sender late, and it then takes a frame that is newer still.
    if (lastBefore(stalled) < 2.5 / fps && firstAfter(stalled) < 5 / fps) return;
    const [last, first] = [lastBefore(stalled), firstAfter(stalled)];
    throw new Error(`${last} s after it began, ${first} s after it ended`);
  });
}

/** Streams to an nc that stops for a while in the middle. */
async function stall(guest: Guest, options: string): Promise<Stalled> {
  await guest.ok("rm -f wire /tmp/open; mkfifo /tmp/open");
  const sink = guest.start("exec nc -l -p 5001 <>/tmp/open >wire");
  await guest.until("netstat -ltn | grep -q ':5001 '");
  const signal = async (name: string) =>
    Number(await guest.ok(`kill -${name} $(cat /run/jobs/${sink.id}); cut -d' ' -f1 /proc/uptime`));
  const camera = `-d /dev/video0 -f GREY -r ${fps}`;
  const sender = new Tool(guest, `sender ${camera} -a 127.0.0.1 -p 5001 ${options}`);
  await sender.moves(4);
  const from = await signal("STOP");
  await Bun.sleep(stallMs);
  const to = await signal("CONT");
  await sender.moves(sender.frames() + 6);
  sender.kill("INT");
  const { stopped } = await sender.end();
  await sink.result;
  const wire = await Bun.file(join(guest.share, "wire")).bytes();
  const view = new DataView(wire.buffer, wire.byteOffset, wire.length);
  const headers: Header[] = [];
  for (let at = helloBytes; at < wire.length; at += headerBytes + frameBytes) {
    wanted("magic of a frame", view.getUint32(at), 0x5652464d);
    wanted("bytes of a frame", view.getUint32(at + 8), frameBytes);
    const seconds = Number(view.getBigUint64(at + 24)) + Number(view.getBigUint64(at + 32)) / 1e6;
    headers.push({ sequence: Number(view.getBigUint64(at + 16)), seconds });
  }
  wanted("frames on the wire", headers.length, stopped.frames);
  return { headers, drops: Number(stopped.drops), from, to };
}

/** Checks that frames arrive in the order of capture and lost ones were counted; answers the count before the first. */
function checkOrder({ headers, drops }: Stalled): number {
  let missing = 0;
  for (const [i, { sequence, seconds }] of headers.entries()) {
    const before = headers[i - 1];
    if (before === undefined) continue;
    if (sequence <= before.sequence || seconds <= before.seconds) {
      throw new Error(`frame ${sequence} came after frame ${before.sequence}`);
    }
    missing += sequence - before.sequence - 1;
  }
  const early = drops - missing;
  if (early >= 0 && early <= (headers[0]?.sequence ?? 0)) return early;
  throw new Error(`${missing} frames are missing, the sender counted ${drops}`);
}

/** From the beginning of the stall to the capture of the last frame before the gap, seconds. */
function lastBefore(stalled: Stalled): number {
  return (stalled.headers[afterGap(stalled) - 1]?.seconds ?? 0) - stalled.from;
}

/** From the end of the stall to the capture of the first frame after the gap, seconds. */
function firstAfter(stalled: Stalled): number {
  return (stalled.headers[afterGap(stalled)]?.seconds ?? 0) - stalled.to;
}

/** The number of the frame after the gap, which must be about as long as the stall. */
function afterGap({ headers }: Stalled): number {
  const gaps = headers.map(({ sequence }, i) => sequence - (headers[i - 1]?.sequence ?? sequence));
  const widest = Math.max(...gaps);
  if (widest * 2 < (fps * stallMs) / 1000) throw new Error(`no gap is longer than ${widest}`);
  return gaps.indexOf(widest);
}

// A decoder's process that breaks the rules, as one that was taken over by a bitstream could. usage: bun false-decoder.ts FAULT
import { Fd } from "../../ffi/fd.ts";
import { Channel } from "../../src/video/codec/libavcodec/channel.ts";
import { frameBytes, inherited, messages } from "../../src/video/codec/libavcodec/messages.ts";

const socket = new Fd(inherited.socket, "daemon");
socket.setNonBlocking(false);
const channel = new Channel(socket);

const size = (width: number, height: number) => {
  const message = channel.post(messages.changed.type);
  message.width = width;
  message.height = height;
};
const slot = (type: number, number: number) => {
  channel.post(type).slot = number;
};
const ready = () => channel.post(messages.ready.type);

/** Announces a size, and answers the slot that it is granted then. */
function granted(width: number, height: number): number {
  ready();
  size(width, height);
  channel.flushBlocking();
  for (;;) {
    const records = channel.receiveBlocking();
    if (records <= 0) process.exit(1);
    const of = channel.received.slice(0, records);
    const grant = of.find(({ type }) => type === messages.grant.type);
    if (grant !== undefined) return grant.slot;
  }
}

/** A picture that is said to lie in a frame, from byte `at` of it on. */
function framed(frame: number, at: number): void {
  const slot = granted(176, 144);
  const message = channel.post(messages.picture.type);
  message.slot = slot;
  message.frame = frame;
  message["plane[0]"] = at;
}

/** Every fault, by name. Each sends messages, or does something else that no decoder does. */
export const faults = {
  "a decoder that was not asked for": () => {
    ready();
    ready();
  },
  "bitstream that it does not have": () => slot(messages.inputDone.type, 3),
  "a slot of bitstream that does not exist": () => slot(messages.inputDone.type, 0xffff_ffff),
  "a picture without a grant": () => slot(messages.picture.type, 0),
  "a picture in a slot that does not exist": () => slot(messages.picture.type, 4096),
  "a picture in a frame that does not exist": () => framed(4096, 0),
  "a size of nothing": () => size(0, 0),
  "a size over the limit": () => size(65_535, 65_535),
  "sizes without end": () => {
    for (let i = 0; i < 40; i++) size(64, 64 + 2 * i);
  },
  "the end of no drain": () => channel.post(messages.drained.type),
  "a message of no type": () => channel.post(77),
  "half a message": () =>
    Bun.spawnSync(["sh", "-c", "printf 123 >&3"], { stdio: [null, null, null, 3] }),
  "its end": () => process.exit(0),
  "a crash": () => process.kill(process.pid, "SIGSEGV"),
} as const satisfies Record<string, () => void>;

/** What costs a picture only. */
export const OUTSIDE = "a picture that ends outside of its frame";

export type Fault =
  | keyof typeof faults
  | "a call that does not return"
  | "too much memory"
  | typeof OUTSIDE;

if (import.meta.main) {
  const fault = process.argv[2] as Fault;
  channel.receiveBlocking(); // until a decoder is asked for
  if (fault === "a call that does not return") {
    ready();
    channel.flushBlocking();
    for (;;);
  }
  if (fault === "too much memory") {
    const kept: Uint8Array[] = [];
    for (let i = 0; i < 12; i++) kept.push(new Uint8Array(64 << 20).fill(i + 1));
    for (;;) if (channel.receiveBlocking() <= 0) break;
    console.log(kept.length);
  } else {
    if (fault === OUTSIDE) framed(1, frameBytes(640 * 480) - 1000);
    else faults[fault]();
    channel.flushBlocking();
    for (;;) if (channel.receiveBlocking() <= 0) break;
  }
}

// Values of controls that do not fit into 32 bits: G_EXT_CTRLS and S_EXT_CTRLS, one control at a time.
import type { Ioctl } from "../../ffi/ioctl.ts";
import { addressOf } from "../../ffi/libc.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import type { VideoDevice } from "./device.ts";

/** Bytes of the longest text that is read or written; vivid's longest control has 100. */
const MAX_TEXT = 4096;

/** The class of a control, V4L2_CTRL_ID2WHICH. Kernels before 4.5 take only calls with the class. */
const classOf = (id: number) => (id & 0x0fff_0000) >>> 0;

type Call = Ioctl<typeof v.v4l2ExtControls.fields>;
type ExtControl = ReturnType<typeof v.v4l2ExtControl.alloc>;

function call(device: VideoDevice, request: Call, one: ExtControl): number {
  const all = v.v4l2ExtControls.alloc();
  all.which = classOf(one.id);
  all.count = 1;
  all.controls = one.$address;
  return device.ioctl(request, all);
}

function extControl(id: number): ExtControl {
  const one = v.v4l2ExtControl.alloc();
  one.id = id;
  return one;
}

/** A 64-bit value; undefined where the call fails. */
export function getLong(device: VideoDevice, id: number): bigint | undefined {
  const one = extControl(id);
  return call(device, v.VIDIOC_G_EXT_CTRLS, one) < 0 ? undefined : one.value64;
}

/** Sets a 64-bit value. Answers 0 or a negative errno. */
export function setLong(device: VideoDevice, id: number, value: bigint): number {
  const one = extControl(id);
  one.value64 = value;
  return call(device, v.VIDIOC_S_EXT_CTRLS, one);
}

/** A text of at most `length` bytes; undefined where the call fails. */
export function getText(device: VideoDevice, id: number, length: number): string | undefined {
  const bytes = textBytes(length);
  const one = extControl(id);
  one.size = bytes.length;
  one.string = addressOf(bytes);
  if (call(device, v.VIDIOC_G_EXT_CTRLS, one) < 0) return undefined;
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Sets a text for a control of at most `length` bytes. Answers 0 or a negative errno. */
export function setText(device: VideoDevice, id: number, text: string, length: number): number {
  const bytes = textBytes(length);
  new TextEncoder().encodeInto(text, bytes.subarray(0, -1));
  const one = extControl(id);
  one.size = bytes.length;
  one.string = addressOf(bytes);
  return call(device, v.VIDIOC_S_EXT_CTRLS, one);
}

/** Zeroed bytes for a text and its NUL. */
function textBytes(length: number): Uint8Array<ArrayBuffer> {
  const sane = Math.max(0, Math.min(MAX_TEXT, length || 0));
  return new Uint8Array(new ArrayBuffer(sane + 1));
}

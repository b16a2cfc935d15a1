// A V4L2 device node: how to open it, QUERYCAP, and advice for failed calls. Tests have fake devices
// (test/support/fake-camera.ts, fake-decoder.ts, fake-output.ts).
import { statSync } from "node:fs";
import { must, type SysError } from "../../ffi/errno.ts";
import { Fd, O_NONBLOCK, O_RDWR } from "../../ffi/fd.ts";
import { type IoctlDevice, ioctl } from "../../ffi/ioctl.ts";
import * as v from "../../ffi/linux/videodev2.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { waitForInput } from "../../ffi/notifier.ts";
import { needed, UnavailableError } from "../errors.ts";

export interface VideoDevice extends IoctlDevice, Disposable {
  /** For epoll. */
  readonly fd: number;
  /** Maps a buffer that the driver allocated. Throws SysError. */
  map(length: number, offset: number): Mapping;
}

/** A device that a caller can wait for without the loop. */
export interface AwaitedDevice extends VideoDevice {
  /** Waits until a picture is finished or an event is there, `timeoutMs` (whole milliseconds) at most. */
  wait(timeoutMs: number): void;
}

/** What a node is opened as. Error texts differ in the option that names another one. */
export type Role = "camera" | "decoder" | "output";

interface RoleTexts {
  /** The option that names the node. */
  readonly option: string;
  /** Advice when the path is not a video device. */
  readonly wrong: string;
  /** Advice when the path does not exist. */
  readonly missing: string;
}
const nameDecoder = "name a decoder with --v4l2-device (framepass devices lists them)";
export const roles: Readonly<Record<Role, RoleTexts>> = {
  camera: {
    option: "--device",
    wrong: "name a video device with --device",
    missing:
      "connect the camera or name another with --device (framepass devices lists them; testsrc needs none)",
  },
  decoder: {
    option: "--v4l2-device",
    wrong: nameDecoder,
    missing: `${nameDecoder}, or use --backend libavcodec`,
  },
  output: {
    option: "--output",
    wrong: "name a file, a pipe or a video output device with --output",
    missing: "make the device first (docs/camera.md), or let --camera NAME make one",
  },
};

type Advice = (role: RoleTexts) => string;
const wrong: Advice = (role) => role.wrong;
const noDriver: Advice = ({ option }) =>
  `no driver serves this node: load it or name another with ${option}`;
const notAllowed: Advice = () => "add yourself to the group video, or run as root";

/** Advice that fits a camera only. */
const forCamera =
  (text: string): Advice =>
  ({ option }) =>
    option === roles.camera.option ? text : "";

/**
 * Why a driver does not start to stream: videobuf2 (EINVAL, ENOMEM), the USB core and uvcvideo (ENOSPC, EIO, EPROTO), the
 * media controller's pipelines (ENOLINK, EPIPE), receivers of a signal (ENODATA, ENOLINK).
 */
const noStream: Readonly<Record<string, Advice>> = {
  ENOSPC: forCamera(
    "the USB bus has no bandwidth left: take a smaller size or rate or --format MJPG, or connect the camera to another port",
  ),
  ENOLINK: forCamera(
    "no signal, or a link of its media pipeline is missing: media-ctl -p shows it",
  ),
  EPIPE: forCamera("the formats along its media pipeline differ: media-ctl -p shows them"),
  EIO: forCamera("the device did not answer: connect it again, to another port or without a hub"),
  EPROTO: forCamera("the USB connection is bad: use another cable or port"),
  EINVAL: forCamera("try another --format, --width and --height, or more --buffers"),
  ENOMEM: forCamera("take a smaller size or fewer --buffers"),
  ENODATA: forCamera("there is no signal at its input: connect and switch on what feeds it"),
};

/** What to do, by the call that failed and its errno. A row of `any` applies where the call has none of its own. */
const whatToDo: Readonly<Record<string, Readonly<Record<string, Advice>>>> = {
  open: { ENOENT: ({ missing }) => missing, ENOTDIR: wrong, EISDIR: wrong },
  VIDIOC_STREAMON: noStream,
  any: {
    ENXIO: noDriver,
    ENODEV: noDriver,
    EACCES: notAllowed,
    EPERM: notAllowed,
    EBUSY: () => "close the program that uses it",
  },
};

/** What a person can do about a failed call on a device; empty where there is no advice. */
export function deviceAdvice({ call, code, object }: SysError, role: Role = "camera"): string {
  const node = /^(video|v4l)\d+$/.test(object);
  if (node && code === "ENOENT") return `devices are in /dev: ${roles[role].option} /dev/${object}`;
  const advice = whatToDo[call]?.[code] ?? whatToDo.any?.[code];
  return advice?.(roles[role]) ?? "";
}

/** The error for a device that this host cannot use, with advice. */
export function unavailable(error: SysError, role: Role = "camera"): UnavailableError {
  const advice = deviceAdvice(error, role);
  return new UnavailableError(`${error.message}${advice && `; ${advice}`}`, { cause: error });
}

/** Opens a node for reading and writing; never creates one. Throws SysError. */
export function openNode(path: string): AwaitedDevice {
  const fd = Fd.open(path, O_RDWR | O_NONBLOCK);
  return {
    path,
    get fd() {
      return fd.number;
    },
    ioctl: (request, argument) => ioctl(fd.number, request, argument),
    map: (length, offset) => new Mapping(fd.number, length, path, undefined, offset),
    wait: (timeoutMs) => waitForInput(fd.number, timeoutMs),
    [Symbol.dispose]: () => fd[Symbol.dispose](),
  };
}

/** Opens a node and checks that it is a device. Throws UnavailableError with advice. */
export function openVideoDevice(path: string, role: Role = "camera"): VideoDevice {
  using owned = new DisposableStack();
  const device = owned.use(
    needed(
      () => openNode(path),
      (error) => deviceAdvice(error, role),
    ),
  );
  if (!statSync(`/proc/self/fd/${device.fd}`).isCharacterDevice())
    throw new UnavailableError(`open ${path}: not a character device; ${roles[role].wrong}`);
  owned.move();
  return device;
}

/** Text of a device without control characters, for lines of text. */
export const printable = (text: string) => text.replace(/[^\x20-\x7e]/g, "?").trim();

/** QUERYCAP: the device's names and the V4L2_CAP_ flags, of this node where the driver gives them. Throws SysError. */
export function queryCapability(device: VideoDevice): {
  readonly driver: string;
  readonly card: string;
  readonly bus: string;
  readonly flags: number;
} {
  const answer = v.v4l2Capability.alloc();
  must(device.ioctl(v.VIDIOC_QUERYCAP, answer), "VIDIOC_QUERYCAP", device.path);
  const { capabilities } = answer;
  return {
    card: printable(answer.card),
    driver: printable(answer.driver),
    bus: printable(answer.bus_info),
    flags: (capabilities & v.V4L2_CAP_DEVICE_CAPS) !== 0 ? answer.device_caps : capabilities,
  };
}

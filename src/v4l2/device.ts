// A V4L2 device node as the capture code needs it; tests have a fake one (test/support/fake-camera.ts).
import { statSync } from "node:fs";
import { Fd, O_NONBLOCK, O_RDWR } from "../../ffi/fd.ts";
import { type IoctlDevice, ioctl } from "../../ffi/ioctl.ts";
import { Mapping } from "../../ffi/mapping.ts";
import { needed, UnavailableError } from "../errors.ts";

export interface VideoDevice extends IoctlDevice, Disposable {
  /** For epoll. */
  readonly fd: number;
  /** Maps a buffer of the driver's own. Throws SysError. */
  map(length: number, offset: number): Mapping;
}

const whatToDo: Record<string, string> = {
  ENOENT: "connect the camera or name another with --device (testsrc needs none)",
  ENOTDIR: "name a video device with --device",
  EISDIR: "name a video device with --device",
  ENXIO: "no driver serves this node: load it or name another with --device",
  ENODEV: "no driver serves this node: load it or name another with --device",
  EACCES: "add yourself to the group video, or run as root",
  EPERM: "add yourself to the group video, or run as root",
  EBUSY: "close the program that uses it",
};

/** What a person can do about an errno that a device answered; empty where nobody knows. */
export const deviceAdvice = ({ code }: { code: string }): string => whatToDo[code] ?? "";

/** Opens a device node for reading and writing; never creates one. Throws UnavailableError. */
export function openVideoDevice(path: string): VideoDevice {
  const fd = needed(() => Fd.open(path, O_RDWR | O_NONBLOCK), deviceAdvice);
  if (!statSync(`/proc/self/fd/${fd.number}`).isCharacterDevice()) {
    fd[Symbol.dispose]();
    throw new UnavailableError(
      `open ${path}: not a character device; name a video device with --device`,
    );
  }
  return {
    path,
    get fd() {
      return fd.number;
    },
    ioctl: (request, argument) => ioctl(fd.number, request, argument),
    map: (length, offset) => new Mapping(fd.number, length, path, undefined, offset),
    [Symbol.dispose]: () => fd[Symbol.dispose](),
  };
}

// The control device of v4l2loopback, which makes and removes nodes: /dev/v4l2loopback. Both generations of its ioctls.
import { errno, must, SysError } from "./errno.ts";
import { Fd, O_RDWR } from "./fd.ts";
import { type Ioctl, ioctl, ioctlWith } from "./ioctl.ts";
import * as k from "./linux/v4l2loopback.ts";
import type { Struct } from "./struct.ts";

export type LoopbackConfig = Struct<typeof k.v4l2LoopbackConfig.fields>;

/** Tests have a fake of the calls. */
export interface LoopbackCalls extends Disposable {
  /** 0.15 and later; a negative errno where the module does not know the call. */
  version(): number;
  /** The number of the new node, or a negative errno. */
  add(request: Ioctl<typeof k.v4l2LoopbackConfig.fields>, config: LoopbackConfig): number;
  /** 0 or a negative errno. */
  remove(request: Pick<Ioctl<never>, "code">, number: number): number;
}

export const LOOPBACK_CONTROL = "/dev/v4l2loopback";

/** Opens the control device. Throws SysError. */
export function openLoopbackCalls(): LoopbackCalls {
  const fd = Fd.open(LOOPBACK_CONTROL, O_RDWR);
  const version = k.V4L2LOOPBACK_CTL_VERSION;
  return {
    version: () => ioctl(fd.number, version, version.argument.alloc()),
    add: (request, config) => ioctl(fd.number, request, config),
    remove: (request, number) => ioctlWith(fd.number, request, number),
    [Symbol.dispose]: () => fd[Symbol.dispose](),
  };
}

export class LoopbackControl implements Disposable {
  readonly #calls: LoopbackCalls;
  /** The module is 0.13 or 0.14. */
  readonly old: boolean;

  /** Owns `calls`. Throws SysError when the device is not v4l2loopback's. */
  constructor(calls: LoopbackCalls) {
    this.#calls = calls;
    const r = calls.version();
    this.old = r === -errno.ENOSYS || r === -errno.ENOTTY;
    if (r >= 0 || this.old) return;
    calls[Symbol.dispose]();
    throw new SysError("V4L2LOOPBACK_CTL_VERSION", LOOPBACK_CONTROL, -r);
  }

  /** Makes a node with that name; answers N of /dev/videoN. Throws SysError. */
  add(label: string, { buffers }: { readonly buffers: number }): number {
    const config = k.v4l2LoopbackConfig.alloc();
    config.output_nr = -1; // any
    config.unused = -1; // versions that split the device: the number of the other half
    config.card_label = label;
    config.max_buffers = buffers;
    config.max_openers = 10;
    config.announce_all_caps = 0; // exclusive_caps: programs see a camera, as soon as there is a producer
    const request = this.old ? k.V4L2LOOPBACK_CTL_ADD_legacy : k.V4L2LOOPBACK_CTL_ADD;
    return must(this.#calls.add(request, config), request.name, LOOPBACK_CONTROL);
  }

  /** Removes /dev/video`number`. Answers 0 or a negative errno: -EBUSY while a program has it open. */
  remove(number: number): number {
    const request = this.old ? k.V4L2LOOPBACK_CTL_REMOVE_legacy : k.V4L2LOOPBACK_CTL_REMOVE;
    return this.#calls.remove(request, number);
  }

  [Symbol.dispose](): void {
    this.#calls[Symbol.dispose]();
  }
}

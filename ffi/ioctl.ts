// ioctl codes from struct tables, and the one ioctl call. <asm-generic/ioctl.h>, x86 and arm.
import { errno, result } from "./errno.ts";
import { libc } from "./libc.ts";
import { type Fields, i32, type Struct, type StructType, struct } from "./struct.ts";

/** An ioctl: its name, its code and the struct it takes. */
export interface Ioctl<F extends Fields> {
  readonly name: string;
  readonly code: number;
  readonly argument: StructType<F>;
}

const NONE = 0;
const WRITE = 1;
const READ = 2;

function request<F extends Fields>(
  direction: number,
  name: string,
  type: string,
  nr: number,
  argument: StructType<F>,
): Ioctl<F> {
  // 14 bits of size: a struct of 16,384 bytes would silently become one of 0.
  if (argument.size > 16_383) throw new RangeError(`${name}: ${argument.size} bytes do not fit`);
  const sized = direction === NONE ? 0 : argument.size;
  const code = ((direction << 30) | (sized << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;
  return { name, code, argument };
}

/** An ioctl that reads and writes its argument, `_IOWR`. */
export const iowr = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(READ | WRITE, name, type, nr, of);
/** An ioctl that only takes its argument, `_IOW`. */
export const iow = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(WRITE, name, type, nr, of);
/** An ioctl that only fills its argument, `_IOR`. */
export const ior = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(READ, name, type, nr, of);

/** A device that takes ioctls; tests have fake ones. */
export interface IoctlDevice {
  /** For error texts: "/dev/video0". */
  readonly path: string;
  /** The result, or a negative errno. */
  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number;
}

/** The argument of ioctls that take a pointer to an int. */
export const int = struct("int", 4, { value: i32(0) });

/** Carries out an ioctl, again when a signal interrupts it; the result, or a negative errno. */
export function ioctl<F extends Fields>(
  fd: number,
  request: Ioctl<F>,
  argument: Struct<F>,
): number {
  if (argument.$bytes.length < request.argument.size) {
    throw new RangeError(`${request.name} takes ${request.argument.size} bytes`);
  }
  const at = argument.$address;
  for (;;) {
    const r = result(libc.ioctl(fd, request.code, at));
    if (r !== -errno.EINTR) return r;
  }
}

// Computes ioctl codes from struct tables, and makes the call. <asm-generic/ioctl.h>, x86 and arm.
import { errno, result } from "./errno.ts";
import { libc } from "./libc.ts";
import { type Fields, i32, type Struct, type StructType, struct } from "./struct.ts";

/** An ioctl: its name, its code and its argument. */
export interface Ioctl<F extends Fields> {
  readonly name: string;
  readonly code: number;
  readonly argument: StructType<F>;
}

const NONE = 0;
const WRITE = 1;
const READ = 2;

function codeOf(direction: number, type: string, nr: number, size: number): number {
  return ((direction << 30) | (size << 16) | (type.charCodeAt(0) << 8) | nr) >>> 0;
}

function request<F extends Fields>(
  direction: number,
  name: string,
  type: string,
  nr: number,
  argument: StructType<F>,
): Ioctl<F> {
  // The size has 14 bits: 16,384 bytes would become 0.
  if (argument.size > 16_383) throw new RangeError(`${name}: ${argument.size} bytes do not fit`);
  return { name, code: codeOf(direction, type, nr, argument.size), argument };
}

/** An ioctl that reads and writes its argument, `_IOWR`. */
export const iowr = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(READ | WRITE, name, type, nr, of);
/** An ioctl that only reads its argument, `_IOW`. */
export const iow = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(WRITE, name, type, nr, of);
/** An ioctl that only fills its argument, `_IOR`. */
export const ior = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(READ, name, type, nr, of);

/** A device with ioctls. Tests have fakes. */
export interface IoctlDevice {
  /** For error texts: "/dev/video0". */
  readonly path: string;
  /** Answers the result or a negative errno. */
  ioctl<F extends Fields>(request: Ioctl<F>, argument: Struct<F>): number;
}

/** An ioctl without direction and size in its code, `_IO`, that takes a struct all the same. */
export const io = <F extends Fields>(
  name: string,
  type: string,
  nr: number,
  of: StructType<F>,
): Ioctl<F> => ({ name, code: codeOf(NONE, type, nr, 0), argument: of });

/** An ioctl with a size and no direction in its code, `_IOC(_IOC_NONE, ...)`, as Xen's drivers have them. */
export const ioc = <F extends Fields>(name: string, type: string, nr: number, of: StructType<F>) =>
  request(NONE, name, type, nr, of);

/** For ioctls whose argument is a pointer to an int. */
export const int = struct("int", 4, { value: i32(0) });

/** Calls an ioctl and repeats it on EINTR. Answers the result or a negative errno. */
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

/** Calls an ioctl whose argument is a number, not an address. Answers the result or a negative errno. */
export function ioctlWith(
  fd: number,
  request: Pick<Ioctl<never>, "code">,
  argument: number,
): number {
  for (;;) {
    const r = result(libc.ioctl(fd, request.code, argument));
    if (r !== -errno.EINTR) return r;
  }
}
